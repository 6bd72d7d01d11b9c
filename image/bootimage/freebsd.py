# SPDX-License-Identifier: BSD-2-Clause
"""A disk of FreeBSD from its own two files: the root is the disk's file system itself, and rc.initdiskless puts memory over /etc."""
import os
import shutil
import subprocess

from bootimage.disk import BIOS_FOLDER
from bootimage.step import Step, run
from guestimage.packages import Unavailable, unpacked

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SOURCE = os.path.dirname(HERE)
LABEL = "UNETMAPBSD"
PROGRAMS = ("pkt-gen", "vale-ctl", "bridge", "lb", "nmreplay", "tlem")
# Of base.txz and kernel.txz: what neither starts nor runs anything here.
LEFT_OUT = ("./usr/lib/debug", "./usr/share/doc", "./usr/share/examples", "./usr/share/locale", "./usr/share/nls", "./usr/share/i18n", "./usr/share/games",
            "./usr/share/dict", "./usr/tests", "./usr/lib32", "./usr/bin/clang*", "./usr/bin/lldb*", "./usr/bin/ld.lld", "./usr/bin/llvm-*", "./rescue",
            "./var/db/freebsd-update", "*.symbols", "*.debug")
NEEDED = ("boot/kernel/kernel", "sbin/init", "etc/rc", "etc/rc.initdiskless", "usr/include/sys/param.h")
SERIAL = 'ttyu0\t"/usr/libexec/getty std.115200"\tvt100\tonifconsole secure\n'


def unpack(archives, folder):
    """What the files hold, as it is in them: compiling needs more of it than the image."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for archive in archives:
        with Step(f"unpacking {archive}"):
            if not os.path.isfile(archive):
                raise Unavailable(f"{archive}: no such file: FreeBSD's releases have kernel.txz and base.txz")
            # Not by Python's tarfile, which takes minutes. Flags of FreeBSD's files are nothing to Linux.
            done = subprocess.run(["tar", "-x", "-f", archive, "-C", folder, "--no-same-owner", "--warning=no-unknown-keyword"], capture_output=True, text=True)
            if done.returncode != 0:
                raise Unavailable(f"{archive} cannot be unpacked: {done.stderr.strip()[-500:]}")
    missing = [name for name in NEEDED if not os.path.lexists(os.path.join(folder, name))]
    if missing:
        raise Unavailable(f"{' and '.join(archives)} have no {', '.join(missing)}: give kernel.txz and base.txz of one release, in this order")


def compile_programs(sysroot, work):
    """The folder with our programs for that system."""
    build = os.path.join(work, "programs")
    run(["cmake", "-S", os.path.join(SOURCE, "freebsd"), "-B", build, "-G", "Ninja", "--toolchain", os.path.join(SOURCE, "freebsd/toolchain.cmake"),
         f"-DFREEBSD_SYSROOT={sysroot}"], "configuring our programs", os.path.join(work, "configure.log"))
    run(["ninja", "-C", build], "compiling our programs", os.path.join(work, "compile.log"))
    return os.path.join(build, "bin")


def tree(sysroot, programs, folder):
    """The disk's contents in `folder`: FreeBSD, less what is left out, and ours."""
    shutil.rmtree(folder, ignore_errors=True)
    # Links instead of copies; no file of FreeBSD's is changed in place below.
    words = [f"--exclude={pattern}" for pattern in LEFT_OUT]
    os.makedirs(folder)
    with subprocess.Popen(["tar", "-c", "-C", sysroot, *words, "."], stdout=subprocess.PIPE) as source:
        done = subprocess.run(["tar", "-x", "-C", folder, "--no-same-owner"], stdin=source.stdout, capture_output=True, text=True)
    if done.returncode != 0 or source.returncode != 0:
        raise Unavailable(f"{folder} cannot be filled: {done.stderr.strip()[-500:] or 'tar failed'}")

    def put(name, text, mode=0o644):
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)

    def own(name):
        with open(os.path.join(HERE, "freebsd", name), encoding="utf-8") as file:
            return file.read()

    put("etc/diskless", "")  # rc runs rc.initdiskless, which copies conf/base/etc into memory
    put("etc/rc.conf", own("rc.conf"))
    put("etc/fstab", "")
    put("etc/rc.d/image_setup", own("image_setup"), 0o555)
    ttys = os.path.join(folder, "etc/ttys")
    if os.path.exists(ttys):
        with open(ttys, encoding="utf-8") as file:
            lines = [line for line in file if not line.startswith("ttyu0")]
        put("etc/ttys", "".join([*lines, SERIAL]))
    base = os.path.join(folder, "conf/base/etc")
    os.makedirs(os.path.dirname(base))
    shutil.copytree(os.path.join(folder, "etc"), base, symlinks=True)
    for name in PROGRAMS if programs else ():
        target = os.path.join(folder, "usr/local/bin", name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(os.path.join(programs, name), target)
        os.chmod(target, 0o755)
    put("boot/grub/grub.cfg", own("grub.cfg"))


def grub_folder(cache):
    """GRUB's modules of a release whose GRUB starts this kernel."""
    folder = unpacked(cache, "grub-trixie", "trixie", ["grub-pc-bin"], with_dependencies=False, parts=((BIOS_FOLDER.lstrip("/"),),))
    return os.path.join(folder, BIOS_FOLDER.lstrip("/"))


def write(folder, image, modules, log):
    """`modules` is a folder i386-pc of GRUB."""
    if os.path.exists(image):
        os.remove(image)
    run(["grub-mkrescue", "-d", modules, f"--output={image}", "--locales=", "--fonts=", "--themes=", folder, "--", "-volid", LABEL,
         "-chown_r", "0", "/", "--", "-chgrp_r", "0", "/", "--"], "writing the disk", log)
