# SPDX-License-Identifier: BSD-2-Clause
"""Debian 13's podman without privileges, its files laid over this machine's: podman of Debian 12 knows no network drivers of others."""
import os
import sys

from guestlib.processes import call
from guestlib.rig import SOURCE, guest_cache, skip, unpacked, Unavailable

RELEASE = "trixie"
# Of anybody without privileges: no accounts of subordinate users either.
USER = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--bounding-set=-all")

# What podman looks for at fixed places, on a root that is not chroot's, as the kernel makes no user namespaces there. All mounts and
# processes are this namespace's own, and go with it. $1: the unpacked packages; then folders that are to be there as they are here.
# Layers must not lie one in the other, so the packages are copied to memory.
_HOLD = """set -e
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir /mnt/root /mnt/new /mnt/work
cp -a "$1" /mnt/packages
shift
mount -t overlay overlay -o lowerdir=/mnt/packages:/,upperdir=/mnt/new,workdir=/mnt/work /mnt/root
cd /mnt/root
mount --rbind /dev dev
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
for each; do
  mkdir -p "./$each"
  mount --bind "$each" "./$each"
done
mkdir mnt/old
pivot_root . mnt/old
umount -l mnt/old
echo ready
exec sleep infinity
"""


def require_podman():
    """The packages' folder; skips the test where they cannot be fetched."""
    try:
        return unpacked(guest_cache(), f"podman-{RELEASE}", RELEASE, ["podman", "crun", "netavark", "passt"], parts=(("usr/bin/podman",), ("usr/bin/pasta",)))
    except Unavailable as reason:
        return skip(f"no podman: {reason}")


class Podman:
    """podman of a user without privileges, on the daemon of a Rig whose folder is that user's."""

    def __init__(self, rig, packages):
        self._rig = rig
        home = os.path.join(rig.folder, "home")
        for name in ("", "run", "run/unetmap-netavark"):
            os.makedirs(os.path.join(home, name), exist_ok=True)
        self._write(os.path.join(home, "containers.conf"), f"""[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
[network]
netavark_plugin_dirs = ["{SOURCE}/packaging/netavark"]
[containers]
cgroups = "disabled"
""")
        self._write(os.path.join(home, "storage.conf"), '[storage]\ndriver = "vfs"\n')
        call(["chown", "-R", "65534:65534", home])
        self.environment = {
            **rig.environment, "HOME": home, "XDG_RUNTIME_DIR": os.path.join(home, "run"), "TMPDIR": "/tmp",
            "CONTAINERS_CONF": os.path.join(home, "containers.conf"), "CONTAINERS_STORAGE_CONF": os.path.join(home, "storage.conf"),
            "PATH": f"{rig.bin}:/usr/sbin:/usr/bin:/sbin:/bin"}
        self._holder = rig.start("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "sh", "-c", _HOLD,
                                 "sh", packages, *sorted({rig.folder, rig.bin, os.path.join(rig.build, "lib"), SOURCE}))
        self._holder.wait_line("^ready$")
        with open(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children", encoding="ascii") as file:
            self._inside = ["nsenter", "-t", file.read().split()[0], "--mount", "--pid", "--wdns=/", *USER]

    @staticmethod
    def _write(path, text):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def run(self, *arguments, timeout_s=120):
        """A command of podman's; its output."""
        return call([*self._inside, "podman", *arguments], self.environment, timeout_s)

    def make_image(self):
        """An image of programs of the build, and a shell; its number."""
        folder = self._rig.folder
        tree, image = os.path.join(folder, "tree"), os.path.join(folder, "image")
        for place, files in (("bin", [os.path.join(self._rig.bin, name) for name in ("unetmap", "unetmapd", "pkt-gen")]),
                             ("lib", [os.path.join(self._rig.build, "lib/libunetmap.so.0")])):
            os.makedirs(os.path.join(tree, "usr", place))
            call(["cp", "-L", *files, os.path.join(tree, "usr", place)])
        call([sys.executable, "-B", os.path.join(SOURCE, "packaging/oci.py"), tree, image, "--shell", "/bin/busybox"], timeout_s=300)
        call(["chmod", "-R", "a+rX", image])
        return self.run("pull", "-q", f"oci:{image}:latest").split()[-1]
