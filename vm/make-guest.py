#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Makes the guest that launch-qemu.sh boots by default, from Debian packages, without privileges."""
import argparse
import os
import re
import shutil
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from guestimage.image import KERNEL_RELEASE, cache_folder, make_image  # noqa: E402
from guestimage.packages import Unavailable  # noqa: E402


def default_programs():
    """The build of the tree that this file is in, else where unetmapd is installed."""
    built = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../build/bin")
    if os.path.exists(os.path.join(built, "unetmapd")):
        return built
    installed = shutil.which("unetmapd")
    return os.path.dirname(installed) if installed else built


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", default=default_programs(), metavar="FOLDER", help="this project's programs (default: %(default)s)")
    parser.add_argument("--cache", default=cache_folder(), metavar="FOLDER",
                        help="what is fetched and made stays there (default: %(default)s; UNETMAP_GUEST_CACHE)")
    parser.add_argument("--release", default=KERNEL_RELEASE, help="Debian release of the kernel (default: %(default)s)")
    options = parser.parse_args()
    if not re.fullmatch(r"[a-z]+", options.release):
        parser.error(f"--release {options.release!r}: is no release of Debian's, such as {KERNEL_RELEASE}")

    def ended(number, _):
        sys.exit(128 + number)

    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, ended)
    try:
        kernel, initramfs = make_image(options.cache, options.bin, options.release)
    except Unavailable as reason:
        print(f"make-guest: {reason}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"make-guest: {error.filename or options.cache}: {error.strerror}; --cache or UNETMAP_GUEST_CACHE names another folder", file=sys.stderr)
        return 1
    print(kernel)
    print(initramfs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
