# SPDX-License-Identifier: BSD-2-Clause
"""Programs on the host that a test starts: their output line by line, and an end with the test."""
import contextlib
import ctypes
import os
import re
import signal
import subprocess
import threading
import time

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
# No event that must come takes longer; generous, for slow machines.
EVENT_LIMIT_S = 60


class Failed(AssertionError):
    """What was expected did not happen; the text says what was seen instead."""


class Lines:
    """Lines that arrive, and those who wait for one of them."""

    def __init__(self):
        self._lines, self._changed, self._closed = [], threading.Condition(), False

    def add(self, line):
        with self._changed:
            self._lines.append(line)
            self._changed.notify_all()

    def close(self):
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def text(self):
        with self._changed:
            return "\n".join(self._lines)

    def wait(self, pattern, what, timeout_s=EVENT_LIMIT_S, after=0):
        """The match of the first line, from number `after` on, in which `pattern` is found."""
        deadline, seen = time.monotonic() + timeout_s, after
        with self._changed:
            while True:
                for line in self._lines[seen:]:
                    seen += 1
                    found = re.search(pattern, line)
                    if found:
                        return found
                left = deadline - time.monotonic()
                if self._closed or left <= 0:
                    why = "it ended" if self._closed else f"{timeout_s} s passed"
                    raise Failed(f"{what}: {why} without a line like '{pattern}'; it said:\n" + "\n".join(self._lines[-30:]))
                self._changed.wait(left)

    def wait_count(self, count, what, timeout_s):
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while len(self._lines) < count:
                left = deadline - time.monotonic()
                if self._closed or left <= 0:
                    raise Failed(f"{what}: " + ("it ended" if self._closed else f"not within {timeout_s} s"))
                self._changed.wait(left)

    def wait_closed(self, what, timeout_s):
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._closed:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Failed(f"{what}: no end within {timeout_s} s; it said:\n" + "\n".join(self._lines[-30:]))
                self._changed.wait(left)


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Program:
    """A program on the host, its output and errors together."""

    def __init__(self, command, environment=None):
        self.command = [str(word) for word in command]
        self.name = os.path.basename(self.command[0])
        self.lines = Lines()
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True, errors="replace", env={**os.environ, **(environment or {})},
                                        preexec_fn=_die_with_parent)
        self.pid = self.process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        # stop() closes the pipe, which a child of the program may still hold open.
        with contextlib.suppress(ValueError):
            for line in self.process.stdout:
                self.lines.add(line.rstrip("\n"))
        self.lines.close()

    def running(self):
        return self.process.poll() is None

    def wait_line(self, pattern, timeout_s=EVENT_LIMIT_S):
        return self.lines.wait(pattern, " ".join(self.command), timeout_s)

    def interrupt(self, timeout_s=EVENT_LIMIT_S):
        """Ctrl-C, and what the program said until its end."""
        if self.running():
            self.process.send_signal(signal.SIGINT)
        return self.finish(timeout_s, statuses=None)

    def finish(self, timeout_s=EVENT_LIMIT_S, statuses=(0,)):
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise Failed(f"{' '.join(self.command)}: no end within {timeout_s} s; it said:\n{self.lines.text()}") from None
        self._reader.join(5)
        if statuses is not None and status not in statuses:
            raise Failed(f"{' '.join(self.command)}: status {status}; it said:\n{self.lines.text()}")
        return self.lines.text()

    def stop(self, timeout_s=10):
        if self.running():
            self.process.terminate()
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(5)
        self.process.stdout.close()


def call(command, environment=None, timeout_s=EVENT_LIMIT_S, check=True):
    """Runs a program to its end and returns its output."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout_s, stdin=subprocess.DEVNULL,
                          env={**os.environ, **(environment or {})})
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}: status {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def wait_until(happened, what, timeout_s=EVENT_LIMIT_S):
    """For what tells nobody when it changes: looks again and again."""
    deadline = time.monotonic() + timeout_s
    while True:
        result = happened()
        if result:
            return result
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {timeout_s} s")
        time.sleep(0.05)
