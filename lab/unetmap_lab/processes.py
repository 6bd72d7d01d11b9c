# SPDX-License-Identifier: BSD-2-Clause
"""Processes that live on after us, and those whose output is waited for."""

import os
import re
import select
import signal
import subprocess
import threading
import time
from pathlib import Path


def start_time(pid: int) -> int | None:
    """What tells a process from a later one of its number; None where there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def end(pids: list[tuple[int, int]], patience_s: float = 0.0, limit_s: float = 5.0) -> None:
    """Ends processes, given as number and start time: left alone for so long, then asked to; all are gone when this returns."""
    alive = []
    for pid, started in pids:
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        if start_time(pid) == started:
            alive.append(fd)
        else:
            os.close(fd)
    for sig, seconds in ((None, patience_s), (signal.SIGTERM, limit_s), (signal.SIGKILL, limit_s)):
        until = time.monotonic() + seconds
        for fd in alive:
            if sig:
                try:
                    signal.pidfd_send_signal(fd, sig)
                except ProcessLookupError:
                    pass
        alive = [fd for fd in alive if not closed_when_gone(fd, until - time.monotonic())]
    for fd in alive:
        os.close(fd)


def with_variable(entry: str) -> list[tuple[int, int]]:
    """Processes that have it in their environment, but for this one and those that it runs in."""
    own, at = set(), os.getpid()
    while at > 0:
        own.add(at)
        try:
            at = int(Path(f"/proc/{at}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
        except OSError:
            break
    out = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            pid, started = int(folder.name), start_time(int(folder.name))
            if pid not in own and started is not None and entry.encode() in (folder / "environ").read_bytes().split(b"\0"):
                out.append((pid, started))
        except OSError:
            continue
    return out


def closed_when_gone(pidfd: int, limit_s: float) -> bool:
    if not gone(pidfd, limit_s):
        return False
    os.close(pidfd)
    return True


def gone(pidfd: int, limit_s: float) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(max(0, int(limit_s * 1000))))


class Running:
    """A command whose output is read as it comes."""

    def __init__(self, command: list[str], env: dict[str, str], log: Path) -> None:
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, start_new_session=True)
        self.output = ""
        self._log = log
        self._news = threading.Condition()
        self._ended = False
        self._over = os.eventfd(0)  # told when the command has ended; what it left in the background may still have its output open
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        poll = select.poll()
        for fd in (self.process.stdout.fileno(), self._over):
            poll.register(fd, select.POLLIN)
        try:
            with self._log.open("wb", buffering=0) as log:
                while ready := [fd for fd, _ in poll.poll()]:
                    if ready == [self._over]:
                        poll.unregister(self._over)
                        self._end()
                        continue
                    part = os.read(self.process.stdout.fileno(), 65536)
                    if not part:
                        break
                    with self._news:
                        self.output += part.decode(errors="replace")
                        self._news.notify_all()
                    log.write(part)
        except OSError as error:
            with self._news:
                self.output += f"\n{self._log}: {error.strerror}"
            self.process.stdout.close()
        finally:
            self._end()

    def _end(self) -> None:
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _await_output(self) -> None:
        """All that was written before the command's end."""
        os.eventfd_write(self._over, 1)
        with self._news:
            self._news.wait_for(lambda: self._ended)

    def says(self, pattern: str, limit_s: float) -> bool:
        with self._news:
            self._news.wait_for(lambda: self._ended or re.search(pattern, self.output, re.M), limit_s)
            return bool(re.search(pattern, self.output, re.M))

    def finish(self, limit_s: float) -> int | None:
        """Its status; None where it did not end in time, and was ended."""
        try:
            status = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.stop()
            return None
        self._await_output()
        return status

    def stop(self, sig: int = signal.SIGTERM) -> None:
        if self.process.poll() is not None:
            return
        for each in (sig, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, each)
            except ProcessLookupError:
                break
            try:
                self.process.wait(5)
                break
            except subprocess.TimeoutExpired:
                continue
        self._await_output()
