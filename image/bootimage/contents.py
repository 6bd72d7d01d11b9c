# SPDX-License-Identifier: BSD-2-Clause
"""What is in the image besides Debian's packages, and what of those is left out."""
import glob
import os
import shutil
import subprocess

from bootimage.step import say
from bootimage.tree import USER, Tree
from guestimage.packages import Unavailable

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SOURCE = os.path.dirname(HERE)
HOME_SCRIPTS = ("l2-send.sh", "linux-pktgen.sh", "prep-taps.sh", "unprep-taps.sh", "launch-qemu.sh")
MODES = {"etc/sudoers.d/tc": 0o440}

# Paths of Debian's packages that the image does without. A folder goes with what is in it.
LEFT_OUT = (
    # Logs, lists, and what is made anew on each machine.
    "/var/log/*", "/var/cache/*", "/var/lib/apt/*", "/etc/machine-id", "/var/lib/dbus/machine-id", "/etc/ssh/ssh_host_*",
    "/etc/resolv.conf", "/etc/hostname", "/etc/apt/apt.conf.d/99mmdebstrap", "/etc/dpkg/dpkg.cfg.d/99mmdebstrap",
    "/etc/apt/preferences.d/image", "/var/lib/dpkg/*-old", "/etc/.pwd.lock", "/etc/*-", "/root/.bash_history", "/var/lib/systemd/*",
    # Services that would hold up the boot, or take what experiments need: netserver is started by hand.
    "/etc/systemd/system/multi-user.target.wants/ssh.service", "/etc/systemd/system/sshd.service",
    "/etc/systemd/system/*/netperf.service", "/etc/systemd/system/*/netserver.service", "/etc/rc*.d/*", "/etc/init.d/netperf",
    "/etc/init.d/netserver", "/etc/systemd/system/*/iperf3.service", "/etc/systemd/system/timers.target.wants/*",
    "/etc/systemd/system/*/e2scrub_reap.service", "/etc/systemd/system/*/systemd-networkd-wait-online.service",
    "/etc/systemd/system/*/remote-fs.target", "/etc/systemd/system/multi-user.target.wants/e2scrub_reap.service",
    "/usr/lib/systemd/system/*/systemd-networkd-wait-online.service",
    # Run at each start and find nothing here; the first one would open sshd to the machine's host, where there is such a device.
    "/usr/lib/systemd/system-generators/systemd-ssh-generator", "/usr/lib/systemd/system-generators/systemd-gpt-auto-generator",
    "/usr/lib/systemd/system-generators/systemd-tpm2-generator", "/usr/lib/systemd/system-generators/systemd-hibernate-resume-generator",
    "/usr/lib/systemd/system/*/systemd-tpm2-setup*", "/usr/lib/systemd/system/*/systemd-pcr*", "/usr/lib/systemd/system/*/ldconfig.service",
    # Started each time for nothing that is used here; each costs an emulated machine a good part of a second. 'mount' has the file systems.
    *(f"/usr/lib/systemd/system/sysinit.target.wants/{unit}" for unit in (
        "dev-hugepages.mount", "dev-mqueue.mount", "sys-fs-fuse-connections.mount", "sys-kernel-config.mount", "sys-kernel-debug.mount",
        "sys-kernel-tracing.mount", "proc-sys-fs-binfmt_misc.automount", "systemd-binfmt.service", "systemd-random-seed.service",
        "systemd-journal-flush.service", "systemd-tmpfiles-setup-dev-early.service", "systemd-hibernate-clear.service")),
    "/etc/modules-load.d/modules.conf", "/etc/systemd/system/*/systemd-pstore.service",
    # Firmware of machines and cards that launch-qemu.sh does not show.
    "/usr/share/qemu/edk2-*", "/usr/share/qemu/hppa-*", "/usr/share/qemu/skiboot*", "/usr/share/qemu/openbios*",
    "/usr/share/qemu/opensbi*", "/usr/share/qemu/u-boot*", "/usr/share/qemu/slof*", "/usr/share/qemu/palcode*", "/usr/share/qemu/s390-*",
    "/usr/share/qemu/petalogix*", "/usr/share/qemu/qemu_vga.ndrv", "/usr/share/qemu/vof*", "/usr/share/qemu/canyonlands*",
    "/usr/share/qemu/bamboo*", "/usr/share/qemu/npcm*", "/usr/share/qemu/*.dtb", "/usr/share/qemu/dtb", "/usr/share/qemu/firmware",
    "/usr/share/seabios/*xen*", "/usr/lib/x86_64-linux-gnu/qemu/accel-qtest*", "/usr/bin/qemu-storage-daemon",
    "/usr/bin/qemu-system-x86_64-microvm", "/usr/bin/qemu-system-i386", "/usr/libexec/*qemu-system-i386",
    # Nobody compiles here, nor reads about it. What xrdb depends on is a whole C preprocessor, and its libraries.
    "/usr/lib/x86_64-linux-gnu/libisl.so*", "/usr/lib/x86_64-linux-gnu/libmpc.so*", "/usr/lib/x86_64-linux-gnu/libmpfr.so*",
    "/usr/lib/x86_64-linux-gnu/*.a", "/usr/lib/gcc/*", "/usr/libexec/gcc/*", "/usr/include/*", "/usr/share/gdb", "/usr/lib/debug",
    "/usr/share/pixmaps/*",
    "/usr/share/icons/*", "/usr/share/zoneinfo/right", "/usr/share/zoneinfo/posix", "/usr/share/wireshark/help",
    "/usr/share/perl/*/unicore/lib", "/usr/share/perl/*/Unicode/Collate*", "/usr/share/X11/locale/*/Compose",
    "/usr/lib/systemd/catalog/*.*.catalog", "/usr/lib/udev/hwdb.d", "/usr/share/mime", "/boot/*",
)


def packages(release):
    """The names in packages.txt."""
    with open(os.path.join(HERE, "packages.txt"), encoding="utf-8") as file:
        names = [line.split()[0] for line in file if line.strip() and not line.startswith("#")]
    chosen = []
    for name in names:
        of, _, rest = name.rpartition(":")
        if of in ("", release):
            chosen.append(rest)
    return chosen


def _version():
    done = subprocess.run(["git", "-C", SOURCE, "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def tree(epoch, installed, libraries, kernel, guest):
    """All that comes over Debian's packages: what `cmake --install` made and libraries for it ({name: path}), kernel modules, the guest, and
    image/root."""
    result = Tree(epoch)
    # Headers and pkg-config files are for machines with a compiler.
    result.copy(installed, skip=("*.hh", "*.pc"))
    for name, path in libraries.items():
        result.file(f"usr/lib/x86_64-linux-gnu/{name}", os.path.realpath(path), 0o644)
    result.copy(kernel.modules, f"usr/lib/modules/{kernel.version}")
    result.file("usr/share/unetmap/guest/initramfs", guest, 0o644)
    result.link("usr/share/unetmap/guest/vmlinuz", "/run/image/boot/vmlinuz")
    result.copy(os.path.join(SOURCE, "python/unetmap"), "usr/lib/python3/dist-packages/unetmap", skip=("*.pyc",))
    home(result)
    overlay = os.path.join(HERE, "root")
    for path in sorted(glob.glob(os.path.join(overlay, "**"), recursive=True, include_hidden=True)):
        name = os.path.relpath(path, overlay)
        if os.path.isdir(path) and not os.path.islink(path):
            continue
        owner = USER if name.startswith("home/tc/") else (0, 0)
        result.file(name, path, MODES.get(name), owner)
    # A login on a slow machine may take longer than its minute: logind's session comes first.
    result.change("etc/login.defs", r"^LOGIN_TIMEOUT\s.*$", "LOGIN_TIMEOUT\t0")
    # Empty: systemd makes one for the time until the machine is switched off, and takes this for no first boot.
    result.text("etc/machine-id", "")
    # Newer than /usr: nothing has to be made anew from it at the first start, which each start is.
    for folder in ("etc", "var"):
        result.text(f"{folder}/.updated", "")
    result.text("etc/unetmap-image", f"{_version()}\n")
    result.link("etc/resolv.conf", "/run/systemd/resolve/stub-resolv.conf")
    for folder, mode in (("var/log", 0o755), ("var/cache/man", 0o755), ("var/lib/apt", 0o755), ("var/lib/systemd", 0o755), ("run/image", 0o755)):
        result.folder(folder, mode)
    return result


def home(result):
    result.folder("home/tc", owner=USER)
    for name in HOME_SCRIPTS:
        result.file(f"home/tc/{name}", os.path.join(SOURCE, "scripts", name), 0o755, USER)


def _busybox(base, work):
    """The program of the package in the root."""
    path = os.path.join(work, "busybox")
    done = subprocess.run(["tar", "-x", "-O", "-f", base, "--wildcards", "./*bin/busybox"], capture_output=True)
    if done.returncode != 0 or not done.stdout:
        raise Unavailable(f"{base} has no busybox: {done.stderr.decode().strip()}")
    with open(path, "wb") as file:
        file.write(done.stdout)
    os.chmod(path, 0o755)
    return path


def disk_folder(folder, base, kernel, work):
    """What the disk's file system holds, but for the root."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("boot/grub", "live"):
        os.makedirs(os.path.join(folder, name))
    shutil.copyfile(kernel.image, os.path.join(folder, "boot/vmlinuz"))
    kernel.initramfs(_busybox(base, work), os.path.join(HERE, "init"), os.path.join(folder, "boot/initramfs"))
    shutil.copyfile(os.path.join(HERE, "grub.cfg"), os.path.join(folder, "boot/grub/grub.cfg"))
    say(f"kernel {os.path.getsize(kernel.image) >> 20} MiB, initramfs {os.path.getsize(os.path.join(folder, 'boot/initramfs')) >> 20} MiB")
