#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Which tests passed only when they were tried again: second_tries.py OUTPUT prints a line each of what ctest wrote under
--repeat until-pass. Each is a fault that has not been found yet, of the test or of what it tests."""
import re
import sys

RESULT = re.compile(r"^ *(?:\d+/\d+ )?Test +#\d+: (.+?) \.{2,}(?: +|\*\*\*)(\w+)", re.MULTILINE)


def second_tries(output):
    """Their names, in order of the first failure."""
    failed = []
    passed = set()
    for name, result in RESULT.findall(output):
        if result == "Passed":
            passed.add(name)
        elif result not in ("Skipped", "Not") and name not in failed:
            failed.append(name)
    return [name for name in failed if name in passed]


def summary(output):
    found = second_tries(output)
    return "\n".join([f"{len(found)} passed at a second try only:", *(f"  {name}" for name in found)]) if found else ""


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8", errors="replace") as file:
        text = summary(file.read())
    if text:
        print(text)
