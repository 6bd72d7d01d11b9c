# SPDX-License-Identifier: BSD-2-Clause
"""The image's root as a tar stream: Debian's files, less what is left out, and ours over them. Nothing of it is ever unpacked, so no
privileges are needed, and times, owners and order depend on nothing but what goes in."""
import fnmatch
import io
import os
import re
import stat
import tarfile

from guestimage.packages import Unavailable

USER = (1000, 1000)


class Tree:
    """What comes on top of a root's tar file."""

    def __init__(self, epoch):
        self._epoch, self._entries, self._changes = epoch, {}, {}

    def _put(self, path, kind, mode, source=None, data=b"", link="", owner=(0, 0)):
        entry = tarfile.TarInfo("./" + path.strip("/"))
        entry.type, entry.mode, entry.mtime, entry.linkname = kind, mode, self._epoch, link
        entry.uid, entry.gid = owner
        entry.size = os.path.getsize(source) if source else len(data)
        self._entries[entry.name] = (entry, source, data)

    def folder(self, path, mode=0o755, owner=(0, 0)):
        self._put(path, tarfile.DIRTYPE, mode, owner=owner)

    def text(self, path, text, mode=0o644, owner=(0, 0)):
        self._put(path, tarfile.REGTYPE, mode, data=text.encode(), owner=owner)

    def link(self, path, target, owner=(0, 0)):
        self._put(path, tarfile.SYMTYPE, 0o777, link=target, owner=owner)

    def file(self, path, source, mode=None, owner=(0, 0)):
        if os.path.islink(source):
            self.link(path, os.readlink(source), owner)
            return
        if mode is None:
            mode = 0o755 if os.stat(source).st_mode & stat.S_IXUSR else 0o644
        self._put(path, tarfile.REGTYPE, mode, source=source, owner=owner)

    def copy(self, folder, below="", owner=(0, 0), skip=()):
        """All of a folder, with modes 755 and 644, whatever they are where it lies."""
        for parent, folders, names in os.walk(folder):
            folders.sort()
            where = os.path.normpath(os.path.join(below, os.path.relpath(parent, folder)))
            links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
            if where != ".":
                self.folder(where, owner=owner)
            for name in sorted(names + links):
                if not any(fnmatch.fnmatch(name, pattern) for pattern in skip):
                    self.file(os.path.join(where, name), os.path.join(parent, name), owner=owner)

    def change(self, path, pattern, text):
        """Lines of a file of the root's: what `pattern` finds becomes `text`. A root without the file, or the line, is an error."""
        self._changes["./" + path] = (re.compile(pattern.encode(), re.M), text.encode())

    def paths(self):
        return sorted(name[2:] for name in self._entries)

    def _parents(self, known):
        """Folders that neither the root nor anybody here has named."""
        for name in sorted(self._entries):
            parent = os.path.dirname(name)
            missing = []
            while parent not in known and parent not in self._entries and parent not in (".", ""):
                missing.append(parent)
                parent = os.path.dirname(parent)
            for path in reversed(missing):
                known.add(path)
                entry = tarfile.TarInfo(path)
                entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, self._epoch
                yield entry

    def write(self, base, pipe, left_out):
        """The whole root into `pipe`: the tar file `base` without paths like one of `left_out`, and what is here."""
        known = set()
        with tarfile.open(base) as source, tarfile.open(fileobj=pipe, mode="w|", format=tarfile.PAX_FORMAT) as out:
            for entry in source:
                name = entry.name.rstrip("/")
                if not name.startswith("."):
                    name = "./" + name
                # A folder goes with all that is in it.
                if any(fnmatch.fnmatch(name[1:], pattern) or fnmatch.fnmatch(name[1:], pattern + "/*") for pattern in left_out):
                    continue
                ours = self._entries.get(name)
                if entry.isdir():
                    known.add(name)
                    if ours is None:
                        self._add(out, entry, source)
                    continue
                if name in self._changes and entry.isreg():
                    known.add(name)
                    self._changed(out, entry, source)
                elif ours is None:
                    self._add(out, entry, source)
            lacking = sorted(set(self._changes) - known)
            if lacking:
                raise Unavailable(f"{base} lacks what is to be changed in it: {' '.join(lacking)}")
            for entry in self._parents(known):
                out.addfile(entry)
            for name in sorted(self._entries):
                entry, path, data = self._entries[name]
                if path is None:
                    out.addfile(entry, io.BytesIO(data) if data else None)
                else:
                    with open(path, "rb") as file:
                        out.addfile(entry, file)

    def _changed(self, out, entry, source):
        pattern, text = self._changes["./" + entry.name.removeprefix("./")]
        data, count = pattern.subn(text, source.extractfile(entry).read())
        if count == 0:
            raise Unavailable(f"{entry.name} has no line like {pattern.pattern.decode()}: this release has it otherwise")
        entry.size, entry.mtime = len(data), self._epoch
        self._plain(entry)
        out.addfile(entry, io.BytesIO(data))

    def _plain(self, entry):
        entry.uname = entry.gname = ""
        # Extended attributes (capabilities of files) and fractions of seconds stay behind.
        entry.pax_headers = {key: value for key, value in entry.pax_headers.items() if key in ("path", "linkpath")}

    def _add(self, out, entry, source):
        entry.mtime = min(int(entry.mtime), self._epoch)
        self._plain(entry)
        out.addfile(entry, source.extractfile(entry) if entry.isreg() else None)
