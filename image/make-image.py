#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Makes a disk image that boots from a stick, on a PC or in an emulator, with this project and every experiment in it."""
import argparse
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(HERE)
sys.path[:0] = [HERE, os.path.join(SOURCE, "vm")]
from bootimage import contents, disk, icu, programs  # noqa: E402
from bootimage.kernel import Kernel  # noqa: E402
from bootimage.release import DEFAULT, RELEASES, named  # noqa: E402
from bootimage.root import EXCLUDED, HOOKS, root_tar  # noqa: E402
from bootimage.step import alone, say  # noqa: E402
from guestimage.image import cache_folder  # noqa: E402
from guestimage.packages import Unavailable  # noqa: E402

MIB = 1 << 20
LARGEST_MIB = 250


def source_date():
    """SOURCE_DATE_EPOCH, else the day of the last commit: nothing in the image is newer."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    done = subprocess.run(["git", "-C", SOURCE, "log", "-1", "--format=%ct"], capture_output=True, text=True)
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip() else int(os.path.getmtime(os.path.join(SOURCE, "CMakeLists.txt")))


def options():
    parser = argparse.ArgumentParser(prog="./dev image", description=__doc__, allow_abbrev=False)
    parser.add_argument("--release", type=named, choices=sorted(RELEASES), default=DEFAULT, help="Debian release, or its number (default: %(default)s)")
    parser.add_argument("--output", metavar="FILE", default=os.path.join(SOURCE, "build/unetmap.img"),
                        help="the image (default: build/unetmap.img)")
    parser.add_argument("--build", metavar="FOLDER", default=os.path.join(SOURCE, "build"),
                        help="this project's programs, compiled (default: build/)")
    parser.add_argument("--level", type=int, choices=range(1, 23), default=19, metavar="1-22", help="zstd level of the root (default: %(default)s)")
    parser.add_argument("--cache", metavar="FOLDER", default=os.path.join(cache_folder(), "image"),
                        help="packages and roots stay there (default: %(default)s)")
    parser.add_argument("--test", action="store_true", help="boots the image under emulation afterwards, and runs the experiments in it")
    # So that ./dev says what is wrong before it compiles anything.
    parser.add_argument("--parse-only", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def make(choice):
    disk.check()
    programs.check(RELEASES[choice.release], choice.build)
    work = os.path.join(SOURCE, "build/image", choice.release)
    cache = os.path.abspath(choice.cache)
    for folder in (work, cache, os.path.dirname(os.path.abspath(choice.output))):
        os.makedirs(folder, exist_ok=True)
    with alone(work):
        make_in(work, cache, choice)


def make_in(work, cache, choice):
    begin, epoch, release = time.monotonic(), source_date(), RELEASES[choice.release]
    kernel = Kernel(cache, work, release.name)
    kernel.select()
    base = root_tar(cache, release, "root", contents.packages(release.name), hooks=HOOKS, excluded=EXCLUDED)
    installed = programs.installed(choice.build, work)
    libraries = programs.missing_libraries(installed, base)
    guest = programs.guest_image(choice.build, cache, release.name)
    tree = contents.tree(epoch, installed, libraries, kernel, guest)
    for path, file in icu.without_tables(base, work).items():
        tree.file(path, file, 0o644)
    folder = os.path.join(work, "disk")
    contents.disk_folder(folder, base, kernel, work)
    disk.squashfs(tree, base, contents.LEFT_OUT, os.path.join(folder, "live/root.squashfs"), os.path.join(work, "squashfs.log"), epoch, choice.level)
    disk.write(folder, choice.output, os.path.join(work, "disk.log"), epoch)
    size = os.path.getsize(choice.output)
    say(f"{choice.output}: {size / MIB:.0f} MiB in {time.monotonic() - begin:.0f} s")
    if size > LARGEST_MIB * 1000 * 1000:
        raise Unavailable(f"the image is larger than {LARGEST_MIB} MB: image/bootimage/contents.py says what is left out")
    print(choice.output)


def main():
    choice = options()
    if choice.parse_only:
        return 0
    # What was started ends, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        make(choice)
    except Unavailable as reason:
        print(f"image: {reason}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if choice.test:
        return subprocess.run([sys.executable, "-B", os.path.join(SOURCE, "tests/image/run.py"), choice.output]).returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
