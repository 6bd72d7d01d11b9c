# SPDX-License-Identifier: BSD-2-Clause
"""This project's programs and the guest of launch-qemu.sh, for the image.

They are those that this machine compiled. A newer release runs them with its own C library, and lacks at most libraries whose name
has changed since: these come along. An older release than this machine's would not run them.
"""
import os
import platform
import re
import subprocess
import tarfile

from bootimage.step import Step
from guestimage import image as guest
from guestimage.packages import Unavailable


def check(release, build):
    if not os.path.exists(os.path.join(build, "bin/unetmapd")):
        raise Unavailable(f"{build} has no bin/unetmapd: build first (./dev image does), or give the folder with --build")
    found = platform.freedesktop_os_release()
    if found.get("ID") != "debian" or not found.get("VERSION_ID", "").isdigit():
        raise Unavailable(f"this machine runs {found.get('PRETTY_NAME', 'an unknown system')}: images are made on a release of Debian")
    if int(found["VERSION_ID"]) > release.number:
        raise Unavailable(f"programs compiled on Debian {found['VERSION_ID']} do not run on {release.name} (Debian {release.number}): "
                          "choose a newer --release, or make the image on an older Debian")


def installed(build, work):
    """A folder as `cmake --install` fills it, without debugging symbols."""
    folder = os.path.join(work, "installed")
    subprocess.run(["rm", "-rf", folder], check=True)
    with Step("installing this project's build"):
        # As Debian's packages have it, with the library where that release's loader looks.
        for component in ("Unspecified", "multiarch"):
            done = subprocess.run(["cmake", "--install", build, "--prefix", "/usr", "--strip", "--component", component], capture_output=True,
                                  text=True, env={**os.environ, "DESTDIR": folder})
            if done.returncode != 0:
                raise Unavailable(f"cmake --install {build}: {done.stderr.strip()[-1000:]}")
    return folder


def _programs(folder):
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            if not os.path.islink(path) and (os.access(path, os.X_OK) or ".so." in name):
                with open(path, "rb") as file:
                    if file.read(4) == b"\x7fELF":
                        yield path


def missing_libraries(folder, base):
    """Libraries that the programs load on this machine and that the root does not have: {name: path}."""
    with tarfile.open(base) as root:
        there = {os.path.basename(entry.name) for entry in root if "/lib" in entry.name and ".so" in entry.name}
    needed = {}
    for path in _programs(folder):
        listed = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
        for name, found in re.findall(r"^\s*(\S+) => (/\S+)", listed, re.M):
            if name not in there and not found.startswith(folder):
                needed[name] = found
    return dict(sorted(needed.items()))


def guest_image(build, cache, release):
    """Path of the initramfs of launch-qemu.sh's guest, whose kernel is that of the image."""
    with Step("the guest of launch-qemu.sh"):
        return guest.make_image(cache, os.path.join(build, "bin"), release)[1]
