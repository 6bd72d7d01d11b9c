# SPDX-License-Identifier: BSD-2-Clause
"""A QEMU newer than the machine's, from Debian packages that are unpacked and not installed."""
import os
import shlex

from guestimage.packages import locked, program_command, unpacked

RELEASE, SUITE = "trixie", "trixie-backports"


def newer_qemu(cache):
    """The path of a program that is this QEMU, on the host's own files and sockets."""
    cache = os.path.abspath(cache)
    folder = unpacked(cache, f"qemu-{SUITE}", RELEASE, ["qemu-system-x86"], suite=SUITE)
    path = os.path.join(cache, f"qemu-{SUITE}.sh")
    command = program_command(folder, "qemu-system-x86_64")
    data = [os.path.join(folder, "usr/share", name) for name in ("qemu", "seabios")]
    text = f"#!/bin/sh\nexec {shlex.join(command + [word for path in data for word in ('-L', path)])} \"$@\"\n"
    with locked(path):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o755)
    return path
