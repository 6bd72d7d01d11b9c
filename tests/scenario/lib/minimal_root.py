#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A root folder with what the named Debian packages need and nothing else, out of this machine's own installed files.

usage: minimal_root.py FOLDER PACKAGE...

Holds the essential packages, those named, and all that they depend on (not what they recommend), as a bare system would after
installing them. Files are hard links where that is possible: FOLDER is for reading. Exit 77, and why, where one is not installed.
"""
import os
import re
import shutil
import subprocess
import sys

FIELDS = "${Package}\\t${db:Status-Abbrev}\\t${Essential}\\t${Pre-Depends}, ${Depends}\\t${Provides}\\n"
UNUSED = re.compile(r"^/usr/share/(doc|man|locale|info|lintian|bash-completion)/")


def names_in(text):
    """Alternatives of each part of a field: "a (>= 1) | b, c:any" is [[a, b], [c]]."""
    parts = [part for part in text.split(",") if part.strip()]
    return [[re.split(r"[ (:]", choice.strip(), maxsplit=1)[0] for choice in part.split("|")] for part in parts]


class Installed:
    """What dpkg says of this machine."""

    def __init__(self):
        self.needs, self.providers, self.essential = {}, {}, []
        for line in subprocess.run(["dpkg-query", "-W", "-f", FIELDS], capture_output=True, text=True, check=True).stdout.splitlines():
            name, status, essential, needs, provides = line.split("\t")
            if not status.startswith("ii"):
                continue
            self.needs[name] = names_in(needs)
            for (provided,) in names_in(provides):
                self.providers.setdefault(provided, []).append(name)
            if essential == "yes":
                self.essential.append(name)

    def closure(self, wanted):
        todo, done = list(wanted), set()
        while todo:
            name = todo.pop()
            if name in done:
                continue
            done.add(name)
            for choices in self.needs[name]:
                found = [choice for choice in choices if choice in self.needs]
                found = found or [one for choice in choices for one in sorted(self.providers.get(choice, []))]
                todo += found[:1]
        return sorted(done)


def place(path, target):
    if os.path.lexists(target):
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(path):
        os.symlink(os.readlink(path), target)
        return
    try:
        os.link(path, target)
    except OSError:  # another file system
        shutil.copy2(path, target)


def main():
    folder, wanted = sys.argv[1], sys.argv[2:]
    installed = Installed()
    missing = [name for name in wanted if name not in installed.needs]
    if missing:
        print(f"SKIP: not installed: {' '.join(missing)}")
        return 77
    packages = installed.closure(wanted + installed.essential)
    paths = subprocess.run(["dpkg-query", "-L", *packages], capture_output=True, text=True, check=True).stdout.splitlines()
    for name in ("bin", "sbin", "lib", "lib64", "lib32", "libx32"):
        if os.path.islink("/" + name):  # merged into /usr
            place("/" + name, os.path.join(folder, name))
    for name in ("dev", "proc", "tmp", "etc"):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    for path in paths:
        if not path.startswith("/") or UNUSED.match(path) or not os.path.lexists(path) or (os.path.isdir(path) and not os.path.islink(path)):
            continue
        real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        place(real, folder + real)
    # Links that no package owns: what was chosen among alternatives, if it is here.
    for place_of in ("/usr/bin", "/usr/sbin"):
        for entry in os.scandir(place_of):
            if entry.is_symlink() and os.readlink(entry.path).startswith("/etc/alternatives/"):
                chosen = os.path.realpath(entry.path)
                if os.path.exists(folder + chosen) and not os.path.lexists(folder + entry.path):
                    os.symlink(chosen, folder + entry.path)
    print(f"{len(packages)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
