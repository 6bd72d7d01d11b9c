# SPDX-License-Identifier: BSD-2-Clause
"""Tests of what calls clang-tidy, with a program in its place: python3 -m unittest discover -s lint -p '*_test.py'"""
import contextlib
import io
import json
import os
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tidy  # noqa: E402

# Notes what it is asked to look at; complains of each BAD, and of CLASH and LOST where they come twice.
PROGRAM = """#!/bin/sh
[ "$1" = --version ] && exit
for word; do case $word in *.cc) file=$word ;; esac; done
sources=$(sed -n 's/^#include "\\(.*\\.cc\\)"/\\1/p' "$file")
echo "$(basename -a ${sources:-$file} | xargs)" >>LOG
for bad in $(grep -l BAD ${sources:-$file}); do echo "$bad:1:1: error: complaint"; done | grep . && exit 1
clash=$(grep -l CLASH ${sources:-$file} | tail -n +2)
[ -z "$clash" ] || { echo "$clash:1:1: error: twice"; exit 1; }
[ "$(cat ${sources:-$file} | grep -c LOST)" -lt 2 ] || { echo "error: nowhere"; exit 1; }
"""


class TidyTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name).resolve() / "clone"
        self.log = self.root.parent / "log"
        self.log.touch()
        self.program = self.write("../clang-tidy", PROGRAM.replace("LOG", str(self.log)))
        self.program.chmod(0o755)
        self.write(".clang-tidy", "")
        for change in (mock.patch.object(tidy, "ROOT", self.root),
                       mock.patch.dict(os.environ, XDG_CACHE_HOME=str(self.root.parent / "cache"))):
            change.start()
            self.addCleanup(change.stop)
        self.write("src/x/a.hh", "#pragma once\n")
        self.sources = {"a": "-O1", "b": "-O3", "c": "-O1"}
        self.write("src/x/a.cc", '#include "x/a.hh"\nint a;\n')
        self.write("src/x/b.cc", "#include <stddef.h>\nint b;\n")
        self.write("src/x/c.cc", "int c;\n")

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def run_it(self):
        """Its status, what it says, and what clang-tidy was asked to look at, one go a line."""
        files = {name: str(self.root / f"src/x/{name}.cc") for name in self.sources}
        entries = [{"directory": str(self.root), "file": files[name],
                    "command": f"/usr/bin/c++ -I{self.root}/src {flag} -std=c++20 -o {name}.o -c {files[name]}"}
                   for name, flag in self.sources.items()]
        self.write("build/compile_commands.json", json.dumps(entries))
        self.log.write_text("")
        words = ["tidy.py", str(self.program), str(self.root / "build"), str(self.root / "build/tidy/stamp"), *files.values()]
        with mock.patch.object(sys, "argv", words), contextlib.redirect_stdout(io.StringIO()) as said:
            status = tidy.main()
        return status, said.getvalue(), self.log.read_text().splitlines()

    def test_all_in_one_go_and_then_no_more(self):
        self.assertEqual(self.run_it(), (0, "", ["a.cc b.cc c.cc"]))
        depends = (self.root / "build/tidy/stamp.d").read_text()
        for name in ("src/x/a.hh", "src/x/b.cc"):
            self.assertIn(str(self.root / name), depends)
        self.assertIn("stddef.h", depends)
        self.assertEqual(self.run_it(), (0, "", []))
        self.assertEqual((self.root / "build/tidy/stamp.d").read_text(), depends)

    def test_what_changed_is_looked_at_again(self):
        self.run_it()
        self.write("src/x/a.hh", "#pragma once\nextern int a;\n")
        self.assertEqual(self.run_it(), (0, "", ["a.cc"]))
        self.write("src/x/b.cc", "int b = 1;\n")
        self.write("src/x/c.cc", "int c = 1;\n")
        self.assertEqual(self.run_it(), (0, "", ["b.cc c.cc"]))

    def test_complaints_are_said_by_each_itself_until_mended(self):
        self.write("src/x/b.cc", "int b;  // BAD\n")
        bad = f"{self.root}/src/x/b.cc:1:1: error: complaint\n"
        self.assertEqual(self.run_it(), (1, bad, ["a.cc b.cc c.cc", "a.cc c.cc", "b.cc"]))
        self.assertFalse((self.root / "build/tidy/stamp").exists())
        self.assertEqual(self.run_it(), (1, bad, ["b.cc"]))
        self.write("src/x/b.cc", "int b;\n")
        self.assertEqual(self.run_it(), (0, "", ["b.cc"]))

    def test_one_name_for_two_things_is_no_complaint(self):
        for name in ("a", "c"):
            self.write(f"src/x/{name}.cc", f"int {name};  // CLASH\n")
        self.assertEqual(self.run_it(), (0, "", ["a.cc b.cc c.cc", "a.cc b.cc", "c.cc"]))
        self.assertEqual(self.run_it(), (0, "", []))

    def test_where_no_source_is_named_each_is_looked_at(self):
        for name in ("a", "c"):
            self.write(f"src/x/{name}.cc", f"int {name};  // LOST\n")
        self.assertEqual(self.run_it(), (0, "", ["a.cc b.cc c.cc", "a.cc", "b.cc", "c.cc"]))

    def test_names_brought_in_are_looked_for_in_one_source(self):
        self.write("src/x/b.cc", "#include <cstddef>\nusing std::size_t;\n")
        self.assertEqual(self.run_it(), (0, "", ["a.cc c.cc", "b.cc"]))

    def test_what_is_compiled_otherwise_goes_by_itself(self):
        self.sources["b"] = "-DOTHER"
        self.assertEqual(self.run_it(), (0, "", ["a.cc c.cc", "b.cc"]))

    def test_a_source_of_no_target(self):
        other = self.write("src/x/d.cc", "")
        words = ["tidy.py", str(self.program), str(self.root / "build"), str(self.root / "stamp"), str(other)]
        self.write("build/compile_commands.json", "[]")
        with mock.patch.object(sys, "argv", words), contextlib.redirect_stdout(io.StringIO()) as said:
            self.assertEqual(tidy.main(), 1)
        self.assertEqual(said.getvalue(), f"{other}: no target compiles it\n")


if __name__ == "__main__":
    unittest.main()
