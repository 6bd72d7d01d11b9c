#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""clang-tidy on some sources: complaints on standard output, or STAMP made, and STAMP.d with what they depend on.

What had no complaints once is not looked at again, in any clone, as long as nothing that it is made of changes: the sums of that are
kept in ${XDG_CACHE_HOME:-~/.cache}/unetmap-tidy. The rest is looked at in one go, as most of the time goes into headers: five times as
fast as one by one. What has complaints there is looked at again by itself, and that counts: two files may give the same name
to different things.
"""
import argparse
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# A name brought in by one source and used by another would pass for used.
BRINGS_NAMES_IN = re.compile(r"^\s*using\s+[\w:]+::\w+;", re.MULTILINE)
COMPLAINED_OF = re.compile(r"^(/\S+\.cc):\d+:\d+: (?:error|warning): ", re.MULTILINE)
INCLUDE = re.compile(rb'^\s*#\s*include\s*["<]([^">]+)[">]', re.MULTILINE)


def shown(path: pathlib.Path) -> str:
    """Those of the clone by their names from its root: another clone's are as good."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


class Sums:
    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def of(self, name: str) -> str:
        if name not in self.known:
            try:
                self.known[name] = hashlib.sha256((ROOT / name).read_bytes()).hexdigest()
            except OSError:
                self.known[name] = ""
        return self.known[name]


def flags_of(entry: dict) -> tuple[str, ...]:
    """How a source is compiled, without its own name and that of the result, and whatever the optimisation."""
    words = shlex.split(entry["command"])
    if words and os.path.basename(words[0]) in ("env", "ccache"):  # those of a launcher
        words = words[next(i for i, word in enumerate(words) if re.search(r"(\+\+|cc|clang)[-0-9.]*$", word) and "ccache" not in word):]
    flags, skip = [], False
    for word in words[1:]:
        if skip or word in ("-o", "-c", entry["file"]):
            skip = word == "-o"
            continue
        if not re.fullmatch("-O[0-9]", word):
            flags.append(word)
    return ("-O1", *flags)


def own_headers(source: pathlib.Path, flags: tuple[str, ...], known: dict) -> set[pathlib.Path]:
    """Headers of the clone that a source may include, also those behind conditions that do not hold."""
    folders = [pathlib.Path(flag[2:]) for flag in flags if flag.startswith("-I") and len(flag) > 2]
    found: set[pathlib.Path] = set()
    left = [source]
    while left:
        file = left.pop()
        if file not in known:
            known[file] = [name.decode() for name in INCLUDE.findall(file.read_bytes())]
        for name in known[file]:
            for folder in (file.parent, *folders):
                header = pathlib.Path(os.path.normpath(folder / name))
                if header.is_relative_to(ROOT) and header not in found and header.is_file():
                    found.add(header)
                    left.append(header)
    return found


class Tidy:
    def __init__(self, options: argparse.Namespace) -> None:
        self.program = options.clang_tidy
        self.stamp = pathlib.Path(options.stamp)
        self.sums = Sums()
        self.scanned: dict[pathlib.Path, list[str]] = {}
        self.depends: set[str] = set()
        self.cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "unetmap-tidy"
        version = subprocess.run([self.program, "--version"], capture_output=True, text=True, check=True).stdout
        self.ground = version + "".join(self.sums.of(shown(path)) for path in (pathlib.Path(__file__).resolve(), ROOT / ".clang-tidy"))

    def key(self, source: pathlib.Path, flags: tuple[str, ...]) -> pathlib.Path:
        text = "\n".join([self.ground, shown(source), self.sums.of(shown(source)), *flags]).replace(str(ROOT), ".")
        return self.cache / hashlib.sha256(text.encode()).hexdigest()

    def had_no_complaints(self, source: pathlib.Path, flags: tuple[str, ...]) -> bool:
        try:
            lines = self.key(source, flags).read_text().splitlines()
        except OSError:
            return False
        pairs = [line.split("  ", 1) for line in lines]
        if any(self.sums.of(name) != was for was, name in pairs):
            return False
        self.depends.update(name for _, name in pairs)
        return True

    def complaints(self, file: pathlib.Path, flags: tuple[str, ...], options: list[str]) -> str | None:
        done = subprocess.run([self.program, "--quiet", f"--config-file={ROOT}/.clang-tidy", *options, str(file), "--", *flags],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        # What it counts and how many lines it left out is no complaint.
        return None if done.returncode == 0 else done.stdout + done.stderr

    def look_at(self, sources: list[pathlib.Path], flags: tuple[str, ...]) -> str:
        """Complaints about sources that are compiled in one way."""
        alone = [source for source in sources if BRINGS_NAMES_IN.search(source.read_text())]
        together = [source for source in sources if source not in alone]
        while len(together) > 1:
            said = self.complaints(self.batch_of(together), flags, [r"--header-filter=(src|tools|include)/.*\.(hh|cc)$"])
            if said is None:
                break
            named = {pathlib.Path(name) for name in COMPLAINED_OF.findall(said)} & set(together)
            alone += [source for source in together if source in named or not named]
            together = [source for source in together if source not in alone]
        said, good = "", together if len(together) > 1 else []
        for source in alone + [source for source in together if source not in good]:
            complaint = self.complaints(source, flags, [])
            if complaint is None:
                good.append(source)
            else:
                said += complaint
        if good:
            self.remember(good, flags)
        return said

    def batch_of(self, sources: list[pathlib.Path]) -> pathlib.Path:
        batch = self.stamp.with_suffix(".cc")
        batch.write_text("".join(f'#include "{source}"\n' for source in sources))
        return batch

    def remember(self, sources: list[pathlib.Path], flags: tuple[str, ...]) -> None:
        batch = self.batch_of(sources)
        made = subprocess.run(["c++", *flags, "-w", "-M", "-MT", "x", str(batch)], stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT).stdout
        everything = {pathlib.Path(os.path.normpath(ROOT / name)) for name in made.replace("\\\n", " ").split()[1:]} - {batch}
        # Headers of others count for all that were looked at together.
        others = {path for path in everything if not path.is_relative_to(ROOT) or path.suffix != ".cc" and self.is_made(path)}
        for source in sources:
            names = sorted(shown(path) for path in others | own_headers(source, flags, self.scanned) | {source})
            key = self.key(source, flags)
            fresh = key.with_name(f"{key.name}.{os.getpid()}")
            fresh.write_text("".join(f"{self.sums.of(name)}  {name}\n" for name in names))
            fresh.rename(key)
            self.depends.update(names)

    @staticmethod
    def is_made(path: pathlib.Path) -> bool:
        """Of a build folder."""
        return path.relative_to(ROOT).parts[0] not in ("src", "tools", "include")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("clang_tidy", "build", "stamp"):
        parser.add_argument(name)
    parser.add_argument("sources", nargs="+")
    options = parser.parse_args()
    tidy = Tidy(options)
    tidy.stamp.parent.mkdir(parents=True, exist_ok=True)
    tidy.cache.mkdir(parents=True, exist_ok=True)
    entries = {entry["file"]: entry for entry in json.loads((pathlib.Path(options.build) / "compile_commands.json").read_text())}
    ways: dict[tuple[str, ...], list[pathlib.Path]] = {}
    said = ""
    for name in options.sources:
        if name not in entries:
            said += f"{name}: no target compiles it\n"
            continue
        source, flags = pathlib.Path(name), flags_of(entries[name])
        if not tidy.had_no_complaints(source, flags):
            ways.setdefault(flags, []).append(source)
    for flags, sources in ways.items():
        said += tidy.look_at(sources, flags)
    if said:
        print(said, end="")
        return 1
    tidy.stamp.with_suffix(".d").write_text(f"{tidy.stamp}: " + " ".join(str(ROOT / name) for name in sorted(tidy.depends)) + "\n")
    tidy.stamp.write_text("")
    return 0


if __name__ == "__main__":
    sys.exit(main())
