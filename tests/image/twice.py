#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Makes an image twice from the same packages and programs, with all that lies between made anew, and compares the two byte by byte.

usage: twice.py [--release NAME] [--cache FOLDER] [--level N]    minutes: level 1 by default, as the level decides nothing here
"""
import argparse
import filecmp
import glob
import os
import subprocess
import sys
import tempfile

SOURCE = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))


def first_difference(one, other):
    done = subprocess.run(["cmp", one, other], capture_output=True, text=True)
    return done.stdout.strip() or done.stderr.strip()


def main():
    parser = argparse.ArgumentParser(usage=__doc__.partition("usage: ")[2], allow_abbrev=False)
    parser.add_argument("--release", default="trixie")
    parser.add_argument("--cache", default=os.path.expanduser("~/.cache/unetmap/image"))
    parser.add_argument("--level", default="1")
    choice = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="unetmap-twice-", dir=os.path.join(SOURCE, "build")) as folder:
        made = [os.path.join(folder, name) for name in ("one.img", "other.img")]
        for image in made:
            # Packages may stay; roots and the guest are put together again.
            for pattern in (f"root-{choice.release}-*.tar", f"initramfs-{choice.release}-*.cpio"):
                for path in glob.glob(os.path.join(choice.cache, pattern)):
                    os.remove(path)
            subprocess.run([sys.executable, "-B", os.path.join(SOURCE, "image/make-image.py"), "--release", choice.release, "--cache", choice.cache,
                            "--level", choice.level, "--output", image], check=True)
        if not filecmp.cmp(*made, shallow=False):
            print(f"twice.py: the two are not the same: {first_difference(*made)}", file=sys.stderr)
            return 1
    print("the same bytes twice")
    return 0


if __name__ == "__main__":
    sys.exit(main())
