# SPDX-License-Identifier: BSD-2-Clause
"""Commands that take long: their output goes into a file, and one line says what is done and how long it took."""
import contextlib
import fcntl
import os
import subprocess
import sys
import time

from guestimage.packages import Unavailable


def say(text):
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def alone(folder):
    """Nobody else works in the folder meanwhile: who does is waited for."""
    with open(os.path.join(folder, "lock"), "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another image is being made in {folder}; waiting for its end ...")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Step:
    """Says what begins, and at its end how long it took; `with Step("text"):`."""

    def __init__(self, text):
        self._text = text

    def __enter__(self):
        say(f"{self._text} ...")
        self._begin = time.monotonic()
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            say(f"  {time.monotonic() - self._begin:.0f} s")


def _last_words(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return "".join(file.readlines()[-20:])


def run(command, what, log, environment=None, feed=None):
    """Runs a command to its end; a failure shows the last lines of its output. `feed`(pipe) writes its input."""
    with Step(what), open(log, "w", encoding="utf-8") as output:
        try:
            process = subprocess.Popen(command, stdin=subprocess.PIPE if feed else subprocess.DEVNULL, stdout=output, stderr=output,
                                       env={**os.environ, "LC_ALL": "C", **(environment or {})})
        except FileNotFoundError:
            raise Unavailable(f"{command[0]} is missing: ./dev image installs what is needed") from None
        try:
            broken = False
            if feed:
                try:
                    with process.stdin:
                        feed(process.stdin)
                except BrokenPipeError:
                    broken = True  # it says why
            status = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if status != 0 or broken:
            raise Unavailable(f"{what}: {command[0]} ended with status {status}; the end of {log}:\n{_last_words(log)}")
