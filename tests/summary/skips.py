#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Which tests did not run, and why: skips.py RESULTS.xml prints a line each of what ctest wrote with --output-junit."""
import re
import sys
import xml.etree.ElementTree

# Scripts say "SKIP: reason", GoogleTest "FILE:LINE: Skipped" and the reason in the next line.
REASONS = (re.compile(r"^SKIP: *(.+)$", re.MULTILINE), re.compile(r": Skipped\n(.+)$", re.MULTILINE))
# The parts of a GoogleTest program, of which others ran.
PART = re.compile(r": Skipped\n(.+)\n(?:(?!\[).*\n)*\[  SKIPPED \] (\S+) \(")


def reason(output):
    for pattern in REASONS:
        found = pattern.findall(output)
        if found:
            return found[-1].strip()
    return "it does not say why"


def skipped(root):
    """(name, reason) of each test, and of each part of one, that was not run to its end."""
    for case in root.iter("testcase"):
        if case.get("status") == "disabled":
            yield case.get("name"), "is disabled"
        elif case.find("skipped") is not None:
            yield case.get("name"), reason(case.findtext("system-out") or "")
        else:
            for why, part in PART.findall(case.findtext("system-out") or ""):
                yield f'{case.get("name")}: {part}', why.strip()


def summary(root):
    found = list(skipped(root))
    if not found:
        return "no test was skipped"
    return "\n".join([f"{len(found)} skipped:", *(f"  {name}: {why}" for name, why in found)])


if __name__ == "__main__":
    print(summary(xml.etree.ElementTree.parse(sys.argv[1]).getroot()))
