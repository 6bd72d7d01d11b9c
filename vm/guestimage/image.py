# SPDX-License-Identifier: BSD-2-Clause
"""Kernel and initramfs of a guest, made again when something that is in them has changed."""
import glob
import hashlib
import lzma
import os
import re
import shutil
import struct
import subprocess

from guestimage.cpio import Archive
from guestimage.modules import Modules
from guestimage.packages import Unavailable, locked, program_command, unpacked

KERNEL_RELEASE, TOOLS_RELEASE = "bookworm", "trixie"
LOADER = "lib64/ld-linux-x86-64.so.2"
# netperf is in trixie, not in bookworm; with libraries of its own release, as our programs bring those of this machine.
TOOLS = ("netperf", "netserver", "iperf3", "ethtool")
TOOL_PACKAGES = ("netperf", "iperf3", "ethtool")
# Drivers of the cards that QEMU shows, and what programs in a guest may want to set up.
MODULES = ("e1000", "e1000e", "igb", "vmxnet3", "8139cp", "virtio_pci", "virtio_net", "virtio_console", "veth", "tun", "tap", "bridge",
           "dummy", "macvlan", "8021q", "pktgen", "sch_ingress", "cls_bpf", "sch_fq_codel", "packet_diag",
           "vfio_iommu_type1", "vfio_pci", "uio_pci_generic")
# The note by which QEMU starts a kernel that is not packed (XEN_ELFNOTE_PHYS32_ENTRY), its value of 4 or 8 bytes.
PVH_NOTE = re.compile(rb"\x04\0\0\0[\x04\x08]\0\0\0\x12\0\0\0Xen\0")
NOT_FOR_GUESTS = re.compile(r"bench-|unit-tests|.*-test$")
MOTD = """
unetmap guest: pkt-gen, vale-ctl, unetmap; netperf, netserver, iperf3. Network: eth0.
'poweroff -f' ends it; so does Ctrl-A X where QEMU has the terminal.

"""
_HERE = os.path.dirname(os.path.abspath(__file__))


def cache_folder():
    return os.environ.get("UNETMAP_GUEST_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "unetmap")


def kernel_folder(cache, release=KERNEL_RELEASE):
    return unpacked(cache, f"kernel-{release}", release, [], with_dependencies=False,
                    meta=("linux-image-amd64", "linux-image-", ("linux-binary-", "linux-modules-")),
                    only=["./boot/vmlinuz*", "./usr/lib/modules/*/vmlinuz",
                          *(f"./*lib/modules/*/kernel/{part}/*" for part in ("net", "drivers", "lib", "crypto", "virt"))],
                    parts=(("boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz"),
                           ("lib/modules/*/kernel/drivers/net", "usr/lib/modules/*/kernel/drivers/net"),
                           ("lib/modules/*/kernel/virt", "usr/lib/modules/*/kernel/virt")))


def _busybox_folder(cache):
    return unpacked(cache, f"busybox-{KERNEL_RELEASE}", KERNEL_RELEASE, ["busybox-static"], with_dependencies=False)


def _tools_folder(cache):
    return unpacked(cache, "-".join(("tools", TOOLS_RELEASE, *TOOL_PACKAGES)), TOOLS_RELEASE, TOOL_PACKAGES)


def _vmlinuz(kernel):
    # The second place is that of releases after trixie.
    names = glob.glob(os.path.join(kernel, "boot/vmlinuz-*")) + glob.glob(os.path.join(kernel, "usr/lib/modules/*/vmlinuz"))
    return names[0]


def _version(vmlinuz):
    name = os.path.basename(vmlinuz)
    return name.removeprefix("vmlinuz-") if name != "vmlinuz" else os.path.basename(os.path.dirname(vmlinuz))


def _unpacked_kernel(vmlinuz):
    """The kernel that lies packed in a bzImage (Documentation/arch/x86/boot.rst), or None where it cannot be had or started."""
    with open(vmlinuz, "rb") as file:
        data = file.read()
    sectors, = struct.unpack_from("<B", data, 0x1f1)
    offset, length = struct.unpack_from("<II", data, 0x248)
    begin = ((sectors or 4) + 1) * 512 + offset
    packed = data[begin:begin + length]
    kernel = b""
    if packed.startswith(b"\xfd7zXZ\0"):
        kernel = lzma.LZMADecompressor().decompress(packed)  # its size comes after it
    elif packed.startswith(b"\x28\xb5\x2f\xfd") and shutil.which("zstd"):
        kernel = subprocess.run(["zstd", "-dc"], input=packed[:-4], capture_output=True).stdout
    return kernel if kernel.startswith(b"\x7fELF") and PVH_NOTE.search(kernel) else None


def _bootable_kernel(cache, vmlinuz, release):
    """What boots soonest: unpacked here, once, and not by each emulated processor, which takes 5 s for it. Not for who suspends the machine to
    memory: QEMU writes such a kernel anew into the memory at each reset, and a machine that wakes up is reset."""
    place = os.path.join(cache, f"vmlinux-{release}")
    with locked(place):
        path = f"{place}-{_fingerprint([vmlinuz])}"
        if not os.path.exists(path):
            kernel = _unpacked_kernel(vmlinuz)
            if kernel is None:
                return vmlinuz
            _write_newest(path, f"{place}-", lambda new: new.write(kernel))
    return path


def programs(folder):
    """What a guest gets of a folder of built programs."""
    found = []
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.isfile(path) and os.access(path, os.X_OK) and not NOT_FOR_GUESTS.match(name):
            found.append(path)
    if not any(os.path.basename(path) == "unetmapd" for path in found):
        raise Unavailable(f"{folder} has no unetmapd: build first, or give the programs' folder")
    return found


def _libraries(paths):
    """Shared libraries that these programs load on this machine: {name: path}."""
    needed = {}
    for path in paths:
        listed = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
        if "not found" in listed:
            raise Unavailable(f"{path} lacks a library:\n{listed}")
        for name, found in re.findall(r"^\s*(\S+) => (/\S+)", listed, re.M):
            needed[name] = found
    return needed


def _script(text):
    return "#!/bin/sh\n" + text + "\n"


def tool_command(cache, name):
    """What starts one of TOOLS on this machine."""
    return program_command(_tools_folder(os.path.abspath(cache)), name)


def _add_tools(archive, tools):
    """Programs of another release, each behind a script that starts it with the loader and the libraries of that release."""
    for name in TOOLS:
        loader, option, libraries, program = program_command(tools, name)
        archive.copy(loader, "opt/tools/loader")
        archive.copy(program, f"opt/tools/bin/{name}")
        search = ":".join("/opt/tools/" + os.path.relpath(path, tools) for path in libraries.split(":"))
        archive.text(f"usr/bin/{name}", _script(f'exec /opt/tools/loader {option} {search} /opt/tools/bin/{name} "$@"'), 0o755)
        listed = subprocess.run([loader, option, libraries, "--list", program], capture_output=True, text=True).stdout
        for library in re.findall(r"=> (\S+)", listed):
            if library.startswith(tools):
                archive.copy(library, "opt/tools/" + os.path.relpath(library, tools))


def _add_modules(archive, kernel, version):
    modules = Modules(os.path.join(kernel, "lib/modules") if os.path.isdir(os.path.join(kernel, "lib/modules"))
                      else os.path.join(kernel, "usr/lib/modules"))
    names = modules.with_needs(MODULES)
    folder = f"lib/modules/{version}"
    for name in names:
        archive.data(f"{folder}/{name}.ko", modules.data(name))
    archive.text(f"{folder}/modules.dep", modules.dependency_table(names, "/" + folder))
    archive.text(f"{folder}/modules.alias", modules.alias_table(names))


def _write_newest(path, beginning, write):
    """A file that is there once it is whole; others whose path begins so are gone then."""
    with open(path + ".new", "wb") as file:
        write(file)
    for other in glob.glob(glob.escape(beginning) + "*"):
        if other != path + ".new":
            os.remove(other)
    os.rename(path + ".new", path)


def _write(file, kernel, busybox, tools, ours):
    archive = Archive(file)
    archive.console()
    for folder in ("proc", "sys", "run", "tmp", "root", "usr/sbin", "usr/local/bin"):
        archive.folder(folder)
    for name, place in (("init", "init"), ("agent", "sbin/agent")):
        with open(os.path.join(_HERE, name), "rb") as source:
            archive.data(place, source.read(), 0o755)
    archive.text("etc/motd", MOTD)
    archive.text("etc/passwd", "root::0:0:root:/root:/bin/sh\n")
    archive.text("etc/group", "root:x:0:\n")
    archive.text("etc/profile", "export PS1='\\h:\\w# '\n")
    archive.copy(os.path.join(busybox, "bin/busybox"), "bin/busybox")
    archive.link("bin/sh", "busybox")
    for program in ours:
        archive.copy(program, "usr/bin/" + os.path.basename(program))
    for name, library in _libraries(ours).items():
        archive.copy(library, f"usr/lib/x86_64-linux-gnu/{name}")
    archive.link("usr/lib/x86_64-linux-gnu/libnetmap.so", "libunetmap.so")
    archive.link("lib/x86_64-linux-gnu", "../usr/lib/x86_64-linux-gnu")
    archive.copy("/" + LOADER, LOADER)
    _add_tools(archive, tools)
    _add_modules(archive, kernel, _version(_vmlinuz(kernel)))
    archive.close()


def _fingerprint(paths):
    digest = hashlib.sha256()
    for path in sorted(paths):
        found = os.stat(path)
        digest.update(f"{path} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def make_image(cache, bin_folder, release=KERNEL_RELEASE):
    """(kernel, initramfs), made if need be. Only the newest of a release are kept. UNETMAP_GUEST_UNPACKED=1: a kernel that boots sooner
    under emulation, and does not wake up."""
    if not shutil.which("dpkg-deb") or not shutil.which("ldd"):
        raise Unavailable("dpkg-deb or ldd is missing: guests are made from Debian packages, on Debian")
    cache = os.path.abspath(cache)
    os.makedirs(cache, exist_ok=True)
    kernel, busybox, tools = kernel_folder(cache, release), _busybox_folder(cache), _tools_folder(cache)
    ours = programs(os.path.abspath(bin_folder))
    sources = [os.path.join(_HERE, name) for name in os.listdir(_HERE) if os.path.isfile(os.path.join(_HERE, name))]
    key = _fingerprint([*ours, *_libraries(ours).values(), *sources, _vmlinuz(kernel), *(program_command(tools, name)[-1] for name in TOOLS)])
    place = os.path.join(cache, f"initramfs-{release}")
    with locked(place):
        path = f"{place}-{key}.cpio"
        if not os.path.exists(path):
            _write_newest(path, f"{place}-", lambda file: _write(file, kernel, busybox, tools, ours))
    return _bootable_kernel(cache, _vmlinuz(kernel), release) if os.environ.get("UNETMAP_GUEST_UNPACKED") == "1" else _vmlinuz(kernel), path
