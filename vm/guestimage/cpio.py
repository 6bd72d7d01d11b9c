# SPDX-License-Identifier: BSD-2-Clause
"""The kernel's initramfs format ("newc" cpio), written without privileges: everything in it belongs to root."""
import os
import stat

_MAGIC = b"070701"


class Archive:
    """Entries go to `file` at once; parents are added before what lies in them."""

    def __init__(self, file):
        self._file, self._inode, self._known = file, 0, {""}

    def _entry(self, name, mode, data=b"", device=(0, 0)):
        self._inode += 1
        path = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(path), 0)
        self._file.write(_MAGIC + b"".join(b"%08X" % field for field in fields) + path)
        self._pad(len(_MAGIC) + 8 * len(fields) + len(path))
        self._file.write(data)
        self._pad(len(data))

    def _pad(self, length):
        self._file.write(bytes(-length % 4))

    def has(self, path):
        return path.strip("/") in self._known

    def _parents(self, name):
        parent = os.path.dirname(name)
        if parent not in self._known:
            self.folder(parent)

    def folder(self, path):
        name = path.strip("/")
        if name not in self._known:
            self._parents(name)
            self._known.add(name)
            self._entry(name, stat.S_IFDIR | 0o755)

    def _new(self, path):
        name = path.strip("/")
        if name in self._known:
            return None
        self._parents(name)
        self._known.add(name)
        return name

    def text(self, path, text, mode=0o644):
        self.data(path, text.encode(), mode)

    def data(self, path, data, mode=0o644):
        name = self._new(path)
        if name is not None:
            self._entry(name, stat.S_IFREG | mode, data)

    def copy(self, source, path):
        """A file, with the permissions that it has; links are followed."""
        with open(source, "rb") as file:
            self.data(path, file.read(), stat.S_IMODE(os.fstat(file.fileno()).st_mode) | 0o444)

    def link(self, path, target):
        name = self._new(path)
        if name is not None:
            self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def console(self):
        """/dev/console and /dev/null: all that the kernel needs before devtmpfs is mounted."""
        self.folder("dev")
        self._entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
        self._entry("dev/null", stat.S_IFCHR | 0o666, device=(1, 3))

    def close(self):
        self._entry("TRAILER!!!", 0)
