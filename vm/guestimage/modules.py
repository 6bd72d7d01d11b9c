# SPDX-License-Identifier: BSD-2-Clause
"""Kernel modules by name: their files, what they need first, and the tables that modprobe reads."""
import lzma
import os
import re


def _contents(path):
    with open(path, "rb") as file:
        data = file.read()
    return lzma.decompress(data) if path.endswith(".xz") else data


def _notes(data, key):
    """What a module says of itself: key=value texts, each ended by a zero byte."""
    return [value.decode() for value in re.findall(b"\\0" + key + b"=([^\\0]*)", data)]


class Modules:
    def __init__(self, folder):
        self._paths, self._data = {}, {}
        for parent, _, names in os.walk(folder):
            for name in names:
                found = re.fullmatch(r"(.+)\.ko(\.xz)?", name)
                if found:
                    self._paths[found[1].replace("-", "_")] = os.path.join(parent, name)

    def names(self):
        return list(self._paths)

    def data(self, name):
        if name not in self._data:
            self._data[name] = _contents(self._paths[name])
        return self._data[name]

    def needs(self, name):
        listed = [other for value in _notes(self.data(name), b"depends") for other in value.split(",") if other]
        return [other.replace("-", "_") for other in listed]

    def with_needs(self, names):
        """These modules and all that they need, those first that others need. What the kernel has built in is left out."""
        order = []

        def visit(name):
            if name in order or name not in self._paths:
                return
            for other in self.needs(name):
                visit(other)
            order.append(name)

        for name in names:
            visit(name)
        return order

    def dependency_table(self, names, folder):
        return "".join(f"{folder}/{name}.ko:" + "".join(f" {folder}/{other}.ko" for other in reversed(self.with_needs([name])[:-1])) + "\n"
                       for name in names)

    def alias_table(self, names):
        return "".join(f"alias {alias} {name}\n" for name in names for alias in _notes(self.data(name), b"alias"))
