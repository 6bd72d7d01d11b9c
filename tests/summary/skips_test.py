# SPDX-License-Identifier: BSD-2-Clause
"""Tests of the list of skipped tests: python3 -m unittest discover -s tests/summary -p '*_test.py'"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import skips  # noqa: E402

# What ctest itself makes of tests of each kind.
TESTS = r"""
add_test(runs sh -c "echo SKIP: not me")
add_test(script sh -c "echo == step; echo 'SKIP: no <frr> here'; exit 77")
add_test(silent sh -c "exit 77")
add_test(google sh -c "printf 'a_test.cc:7: Skipped\\nneeds root\\n[  SKIPPED ] A.b (0 ms)\\n'")
add_test(parts sh -c "printf '[ RUN      ] A.a\\na_test.cc:9: Skipped\\nno QEMU\\n\\n[  SKIPPED ] A.a (0 ms)\\n[ RUN      ] A.b\\n[       OK ] A.b (0 ms)\\n'")
set_tests_properties(runs script silent PROPERTIES SKIP_RETURN_CODE 77)
set_tests_properties(google PROPERTIES SKIP_REGULAR_EXPRESSION "\\[  SKIPPED \\]")
"""


class SkipsTest(unittest.TestCase):
    @unittest.skipUnless(shutil.which("ctest"), "ctest is not installed")
    def test_every_kind_of_skip_has_its_reason(self):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "CTestTestfile.cmake").write_text(TESTS, encoding="utf-8")
            subprocess.run(["ctest", "--test-dir", folder, "--output-junit", "results.xml"], check=True,
                           stdout=subprocess.DEVNULL)
            root = xml.etree.ElementTree.parse(pathlib.Path(folder) / "results.xml").getroot()
        self.assertEqual(dict(skips.skipped(root)), {
            "script": "no <frr> here",
            "silent": "it does not say why",
            "google": "needs root",
            "parts: A.a": "no QEMU",
        })
        self.assertIn("\n  script: no <frr> here", skips.summary(root))

    def test_nothing_skipped_is_said_too(self):
        root = xml.etree.ElementTree.fromstring('<testsuite><testcase name="a" status="run"/></testsuite>')
        self.assertEqual(skips.summary(root), "no test was skipped")


if __name__ == "__main__":
    unittest.main()
