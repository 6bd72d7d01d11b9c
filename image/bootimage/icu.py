# SPDX-License-Identifier: BSD-2-Clause
"""In place of ICU's tables, 30 MB that are 10 in the image: none. Its library is there because libxml2 asks it for what libxml2 and the C
library do not know themselves, encodings that no file in the image has; it says then that it has no data."""
import os
import re
import subprocess
import tarfile

from guestimage.packages import Unavailable

TABLES = re.compile(r"\./(usr/lib/x86_64-linux-gnu/libicudata\.so\.(\d+)\.\d+)")


def without_tables(base, work):
    """{path in the root: file}: what replaces the library of the root `base`; nothing for a root without it."""
    with tarfile.open(base) as root:
        found = [match for entry in root if entry.isreg() and (match := TABLES.fullmatch(entry.name))]
    made = {}
    for match in found:
        path, version = match.groups()
        library = os.path.join(work, os.path.basename(path))
        # The one thing that others look for in it. Zeros are no header that ICU takes.
        source = f"const char icudt{version}_dat[64] __attribute__((aligned(16))) = {{0}};\n"
        command = ["cc", "-x", "c", "-shared", "-nostdlib", "-s", f"-Wl,-soname,libicudata.so.{version}", "-Wl,--build-id=none", "-o", library, "-"]
        try:
            done = subprocess.run(command, input=source, capture_output=True, text=True)
        except FileNotFoundError:
            raise Unavailable("cc is missing: install gcc (./dev build does)") from None
        if done.returncode != 0:
            raise Unavailable(f"{library}: {done.stderr.strip()}")
        made[path] = library
    return made
