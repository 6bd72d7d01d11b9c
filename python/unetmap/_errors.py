# SPDX-License-Identifier: BSD-2-Clause
"""What goes wrong, in words: OSError with netmap's errno and one line that names the object, the cause and the remedy."""
import os

from ._abi import library


class Error(OSError):
    """A failed request. ``errno`` is netmap's; ``strerror`` is one line that says what failed, why, and what to do."""


def last_error(code: int, doing: str) -> Error:
    """The Error for a call of the library that just failed in this thread with errno `code`."""
    text = library.unetmap_last_error().decode(errors="replace")
    return Error(code, text or f"{doing}: {os.strerror(code)}")
