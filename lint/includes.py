#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Checks who includes whom: each folder may use only those below it. Prints FILE:LINE: complaint; exit status 1 if any."""
import pathlib
import re
import sys

# Folder under src/ -> folders that it may include, besides itself and include/.
MAY_INCLUDE = {
    "base": (),
    "ring": ("base",),
    "mem": ("base", "ring"),
    "wire": ("base", "ring"),  # its messages carry sizes of the shared layout
    "vale": ("base", "ring", "mem"),
    "guest": ("base",),
    "proto": ("base", "guest"),
    "dev": ("base", "guest", "vale"),  # vale for the packets' header
    "port": ("base", "ring", "mem", "vale", "guest", "proto", "dev"),
    "worker": ("base", "wire", "vale", "guest", "proto", "dev", "port"),  # a program of the public interface besides
    "keeper": ("base", "ring", "wire"),
    "daemon": ("base", "ring", "mem", "vale", "wire", "port"),
    "libnetmap": (),  # nothing but the C interface that others have as well
    "client": ("base", "ring", "mem", "vale", "wire"),
    "shim": ("base", "ring", "client"),
}
# Programs use the public interface, as anybody's programs do. Those of our own have Result, too.
TOOLS_MAY_INCLUDE = ("base",)
TOOL_MAY_INCLUDE = {"unetmap-cli": ("base", "wire")}  # it asks the daemon questions that have no C interface

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
SOURCES = (".cc", ".hh", ".h", ".c")


def allowed(path):
    """Folders under src/ that the file may include, and how it is called in complaints; None: anything."""
    parts = path.parts
    if parts[0] == "include":
        return (), "include/ (the public interface)"
    if parts[0] == "src":
        if parts[1] not in MAY_INCLUDE:
            return (), f"src/{parts[1]}, which lint/includes.py does not know,"
        return (parts[1], *MAY_INCLUDE[parts[1]]), f"src/{parts[1]}"
    if parts[0] == "tools":
        return TOOL_MAY_INCLUDE.get(parts[1], TOOLS_MAY_INCLUDE), f"tools/{parts[1]}"
    return None


def complaints(root):
    """Everything that is wrong below the folder root, one line each."""
    found = []
    for top in ("include", "src", "tools"):
        for path in sorted((root / top).rglob("*")):
            if path.suffix in SOURCES and path.is_file():
                found += of_file(root, path)
    return found


def of_file(root, path):
    here = path.relative_to(root)
    may, name = allowed(here)
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        target = match[2]
        folder = target.split("/")[0]
        where = f"{here}:{number}"
        if ".." in pathlib.PurePosixPath(target).parts:
            found.append(f"{where}: {target}: name it from the top of src/, include/ or its own folder, without '..'")
        elif "/" in target and (root / "src" / target).is_file() and not (root / "include" / target).is_file():
            if folder not in may:
                below = ", ".join(f"src/{each}" for each in may if each != here.parts[1]) or "nothing of src/"
                found.append(f"{where}: {name} must not include src/{target}; it may include {below}")
        elif match[1] == '"' and "/" not in target and not (path.parent / target).is_file():
            if not (root / "include" / target).is_file():
                found.append(f"{where}: {target}: not in the same folder; name it from the top of src/")
    return found


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    found = complaints(root)
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
