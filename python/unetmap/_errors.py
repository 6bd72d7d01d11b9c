# SPDX-License-Identifier: BSD-2-Clause
"""What goes wrong, in words: OSError with netmap's errno and one line that names the object, the cause and the remedy."""
import os

from ._abi import library


def name_bytes(name: str) -> bytes:
    """A name for the library, to which a NUL would end it: what it would take for another name is refused."""
    out = os.fsencode(name)
    if b"\0" in out:
        raise ValueError(f"{name!r}: a NUL in a name")
    return out


class Error(OSError):
    """A failed request. ``errno`` is netmap's; ``strerror`` is one line that says what failed, why, and what to do."""


def last_error(code: int, doing: str) -> Error:
    """The Error for a call of the library that just failed in this thread with errno `code`."""
    text = library.unetmap_last_error().decode(errors="replace")
    return Error(code, text or f"{doing}: {os.strerror(code)}")
