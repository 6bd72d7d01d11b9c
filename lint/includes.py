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
    "driver": ("base", "guest", "vale", "dev"),  # what devices and drivers call the same; in tests the devices
    "proto": ("base", "guest"),
    "dev": ("base", "guest", "vale"),  # vale for the packets' header
    "port": ("base", "ring", "mem", "vale", "guest", "proto", "dev"),
    "worker": ("base", "mem", "wire", "vale", "guest", "proto", "dev", "port"),  # a program of the public interface besides
    "keeper": ("base", "ring", "mem", "wire", "dev", "driver"),
    "daemon": ("base", "ring", "mem", "vale", "wire", "port"),
    "libnetmap": (),  # nothing but the C interface that others have as well
    "client": ("base", "ring", "mem", "vale", "wire", "driver"),
    "shim": ("base", "ring", "client"),
}
# The same between the rooms of a folder; what is in none of them may use all, and so may tests.
ROOMS = {
    "client": {
        "link": (),
        "memory": ("link",),
        "nic": ("link",),
        "port": ("link", "memory"),
        "ring": ("link", "port", "nic"),
        "descriptor": ("link", "memory", "nic", "port", "ring"),
        "kloop": ("link", "ring", "descriptor"),
        "control": ("link", "memory", "descriptor", "kloop"),
    },
    "daemon": {
        "process": (),
        "memory": (),
        "interface": ("process",),
        "switch": (),
        "port": ("memory", "interface", "switch"),
        "inventory": ("memory", "switch", "port"),
        "setting": ("switch", "port", "inventory"),
        "attach": ("process", "interface", "port", "inventory", "setting"),
        "request": ("interface", "port", "inventory", "attach"),
        "question": ("process", "memory", "interface", "switch", "port", "inventory", "setting", "attach"),
        "registry": ("inventory", "setting", "attach", "request", "question"),
        "plug": ("process", "attach", "registry"),
    },
}
# Programs use the public interface, as anybody's programs do. Those of our own have Result, too.
TOOLS_MAY_INCLUDE = ("base",)
TOOL_MAY_INCLUDE = {"unetmap": ("base", "ring", "wire")}  # it asks the daemon questions, and reads records, that have no C interface

# What is compiled for FreeBSD as well, where tools/parts/linux has a counterpart, and headers that are Linux's or glibc's alone.
PORTABLE = ("tools/bridge", "tools/lb", "tools/nmreplay", "tools/parts", "tools/pkt-gen", "tools/tlem", "tools/vale-ctl", "src/libnetmap", "include")
NOT_PORTABLE = ("tools/parts/linux", "tools/parts/freebsd", "tools/parts/l2_descriptor.cc")  # the last one: of l2open, l2send, l2recv
LINUX_ONLY = re.compile(r"(linux|asm|netpacket|bpf|xdp|netlink)/|sys/(timerfd|epoll|signalfd|inotify|prctl|sendfile|random)\.h$|net/ethernet\.h$"
                        r"|(features|gnu/\S+)\.h$")

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


def rooms_complaint(here, target):
    """What is wrong with an include within one folder of src/ that has rooms; None: nothing."""
    parts, wanted = here.parts, pathlib.PurePosixPath(target).parts
    rooms = ROOMS.get(parts[1]) if parts[0] == "src" else None
    if not rooms or wanted[0] != parts[1] or len(parts) < 4 or here.stem.endswith("_test"):
        return None
    room, name = parts[2], f"src/{parts[1]}/{parts[2]}"
    if room not in rooms:
        return f"{name}, which lint/includes.py does not know, must not include src/{target}"
    if len(wanted) > 2 and wanted[1] in (room, *rooms[room]):
        return None
    below = ", ".join(f"src/{parts[1]}/{each}" for each in rooms[room]) or "no other room"
    return f"{name} must not include src/{target}; it may include {below}"


def portable(here):
    """Whether the file is compiled for FreeBSD, too."""
    def below(folders):
        return any(here == pathlib.PurePath(folder) or pathlib.PurePath(folder) in here.parents for folder in folders)

    return below(PORTABLE) and not below(NOT_PORTABLE) and not here.stem.endswith("_test")


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
        if portable(here) and LINUX_ONLY.match(target):
            found.append(f"{where}: {target} is not on FreeBSD, for which this is compiled, too: ask tools/parts/system.hh for what it gives")
        if ".." in pathlib.PurePosixPath(target).parts:
            found.append(f"{where}: {target}: name it from the top of src/, include/ or its own folder, without '..'")
        elif "/" in target and (root / "src" / target).is_file() and not (root / "include" / target).is_file():
            if folder not in may:
                below = ", ".join(f"src/{each}" for each in may if each != here.parts[1]) or "nothing of src/"
                found.append(f"{where}: {name} must not include src/{target}; it may include {below}")
            elif complaint := rooms_complaint(here, target):
                found.append(f"{where}: {complaint}")
        elif match[1] == '"' and "/" not in target and not (path.parent / target).is_file():
            # A program's inner folders name what is at its top as the program itself does.
            top = root / "tools" / here.parts[1] if here.parts[0] == "tools" else root / "include"
            if not (root / "include" / target).is_file() and not (top / target).is_file():
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
