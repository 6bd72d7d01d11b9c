# SPDX-License-Identifier: BSD-2-Clause
"""Programs under measurement: started with a handle, watched line by line, stopped by that handle alone."""
import ctypes
import os
import signal
import subprocess
import threading
import time

STOP_TIMEOUT_S = 5
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _die_with_parent():
    # Should the bench itself be killed outright, nothing of it stays behind.
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Failed(Exception):
    """A row could not be measured; the text says which program, why, and what it printed."""


class Skipped(Exception):
    """A row does not apply here; the text says why and what would change that."""


class Child:
    """One running program. Its output is kept as (arrival time, line)."""

    def __init__(self, command, cpu=None, netns=None, env=None, interactive=False, own_session=True):
        """`own_session` False: with others of ours in the bench's. Kernels with autogroups share a CPU out among sessions
        first, and sched_yield then does not give it to another session's program."""
        self.name = os.path.basename(command[0])
        prefix = []
        if netns:
            prefix += ["ip", "netns", "exec", netns]
        if cpu is not None:
            prefix += ["taskset", "-c", str(cpu)]
        self.command = prefix + command
        self.lines = []
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE if interactive else subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", bufsize=1, start_new_session=own_session,
            process_group=None if own_session else 0, env={**os.environ, **(env or {})}, preexec_fn=_die_with_parent)
        self.pid = self.process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append((time.monotonic(), line.rstrip("\n")))

    def running(self):
        return self.process.poll() is None

    def output(self):
        return "\n".join(line for _, line in self.lines)

    def failure(self, what):
        tail = "\n".join(self.output().splitlines()[-6:])
        status = "still running" if self.running() else f"exit status {self.process.returncode}"
        return Failed(f"{' '.join(self.command)}: {what} ({status})" + (f"; it said:\n{tail}" if tail else ""))

    def wait_for(self, happened, what, timeout_s=15):
        """Polls `happened()`, and fails early when the program ends first."""
        deadline = time.monotonic() + timeout_s
        while not happened():
            if not self.running():
                self._reader.join(1)
                if happened():
                    return
                raise self.failure(f"ended before {what}")
            if time.monotonic() > deadline:
                raise self.failure(f"no {what} within {timeout_s} s")
            time.sleep(0.02)

    def wait_for_line(self, text, timeout_s=15):
        self.wait_for(lambda: any(text in line for _, line in list(self.lines)), f"the line '{text}'", timeout_s)

    def finish(self, timeout_s):
        """Waits for a program that ends by itself and returns what it printed."""
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise self.failure(f"did not end within {timeout_s} s") from None
        self._reader.join(2)
        if self.process.returncode != 0:
            raise self.failure("failed")
        return self.output()

    def stop(self, sig=signal.SIGTERM):
        if self.running():
            self.process.send_signal(sig)
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(2)
        if self.process.stdin:
            self.process.stdin.close()
        self.process.stdout.close()


class Children:
    """The programs of one sample, stopped in reverse order however the sample ends."""

    def __init__(self, env=None):
        self._env = env or {}
        self._all = []
        self._also = []

    def start(self, command, **options):
        child = Child([str(word) for word in command], env=self._env, **options)
        self._all.append(child)
        return child

    def environment(self, names):
        """More variables for those that are started from now on."""
        self._env = {**self._env, **names}

    def also(self, pids):
        """Processes that others started and that take part."""
        self._also += pids

    def pids(self):
        return [child.pid for child in self._all if child.running()] + self._also

    def check(self):
        for child in self._all:
            if not child.running():
                raise child.failure("ended during the measurement")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        while self._all:
            self._all.pop().stop()
