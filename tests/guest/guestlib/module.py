# SPDX-License-Identifier: BSD-2-Clause
"""A kernel module of this project in a guest: built for the guest's kernel, and carried there over the serial line."""
import base64
import glob
import gzip
import os
import re
import shutil
import subprocess
import sys

from guestlib.rig import KERNEL_RELEASE, SOURCE, Unavailable, guest_cache, locked, mirror, skip, unpacked
from guestlib.root import entered

_AT_ONCE = 3000  # characters of one line to the guest's agent


def headers_of(cache, release=KERNEL_RELEASE):
    """The folder of the headers of a release's kernel, fetched and not installed; Unavailable where they cannot be."""
    folder = unpacked(cache, f"headers-{release}", release, [], with_dependencies=False,
                      meta=("linux-headers-amd64", "linux-headers-", ("linux-headers-", "linux-kbuild-")),
                      parts=(("usr/src/linux-headers-*-amd64/Module.symvers",), ("usr/lib/linux-kbuild-*/scripts/mod/modpost",)))
    headers, = glob.glob(os.path.join(folder, "usr/src/linux-headers-*-amd64"))
    # It is one line, with a path as in the package.
    makefile = os.path.join(headers, "Makefile")
    with open(makefile, encoding="utf-8") as file:
        text = file.read()
    moved = re.sub(r"^include\s+.*?/?(usr/src/)", f"include {folder}/\\1", text, flags=re.M)
    if moved != text:
        with open(makefile, "w", encoding="utf-8") as file:
            file.write(moved)
    return headers


def require_headers(release=KERNEL_RELEASE):
    """The same; skips the test."""
    try:
        return headers_of(guest_cache(), release)
    except Unavailable as reason:
        return skip(f"no headers of the guest's kernel: {reason}")


def build(name, release, folder, headers):
    """guest/NAME for the kernel `release`, which `headers` are of; the path of the module, without its symbols."""
    if os.path.basename(headers) != f"linux-headers-{release}":
        skip(f"the guest runs {release}, and {headers} came later: remove the folder of guests, which holds both")
    place = os.path.join(folder, f"{name}-{release}")
    shutil.copytree(os.path.join(SOURCE, "guest", name), place)
    return _make(name, release, place, ["make", "-C", place, f"KDIR={headers}"])


def require_root(release):
    """A root folder of a release newer than the machine's, with its kernel's headers and its compiler, whose tools do not run on
    this machine's libraries; made once. Skips the test where it cannot be made."""
    if not shutil.which("mmdebstrap"):
        skip("mmdebstrap is not installed")
    root = os.path.join(guest_cache(), f"root-{release}")
    with locked(root):
        if os.path.isdir(root):
            return root
        print(f"making a root folder of {release}, once", file=sys.stderr, flush=True)
        shutil.rmtree(root + ".new", ignore_errors=True)  # of one that was ended meanwhile
        # A mirror that stands still, as one of a laboratory's may, is as good for this.
        # Its mounts go with it, however it ends.
        made = subprocess.run(["unshare", "--mount", "--propagation", "private", "mmdebstrap", "--quiet", "--variant=minbase",
                               "--include=linux-headers-amd64,make,gcc", "--aptopt=Acquire::Check-Valid-Until \"false\"", release, root + ".new", mirror()],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if made.returncode:
            shutil.rmtree(root + ".new", ignore_errors=True)
            skip(f"no root folder of {release}: {made.stdout.strip()[-500:]}")
        os.rename(root + ".new", root)
    return root


def build_in(root, name, release, folder):
    """guest/NAME for the kernel `release`, with what is in `root`; the path of the module, without its symbols."""
    if not os.path.isdir(os.path.join(root, "lib/modules", release, "build")):
        skip(f"the guest runs {release}, and the headers in {root} are of another kernel: remove the folder of guests, which holds both")
    place = os.path.join(folder, f"{name}-{release}")
    shutil.copytree(os.path.join(SOURCE, "guest", name), place)
    return _make(name, release, place, entered(root, folder, ["make", "-C", place, f"KERNEL={release}"]))


def _make(name, release, place, command):
    built = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if built.returncode:
        raise RuntimeError(f"guest/{name} does not build for {release}:\n{built.stdout[-4000:]}")
    if "warning:" in built.stdout.replace("warning: the compiler differs", ""):
        raise RuntimeError(f"guest/{name} builds with warnings for {release}:\n{built.stdout[-4000:]}")
    module = os.path.join(place, f"{name}.ko")
    subprocess.run(["strip", "--strip-debug", module], check=True)
    return module


def load(guest, module, parameters=""):
    """insmod of a file of the host's."""
    with open(module, "rb") as file:
        data = base64.b64encode(gzip.compress(file.read())).decode()
    guest.run("rm -f /tmp/module.gz.text")
    for at in range(0, len(data), _AT_ONCE):
        guest.run(f"printf %s {data[at:at + _AT_ONCE]} >>/tmp/module.gz.text")
    guest.run(f"base64 -d /tmp/module.gz.text | gunzip >/tmp/module.ko && insmod /tmp/module.ko {parameters}".strip())
