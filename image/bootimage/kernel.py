# SPDX-License-Identifier: BSD-2-Clause
"""Debian's kernel, unpacked and never installed: which of its modules the image has, and the initramfs."""
import glob
import lzma
import os
import re
import shutil
import subprocess

from bootimage.step import Step, run
from guestimage.cpio import Archive
from guestimage.modules import Modules
from guestimage.packages import Unavailable, unpacked

# Folders and files below kernel/ of which the image has all, and of these all but the others.
KEPT = re.compile("drivers/(" + "|".join((
    "net/(?!wireless|can|hamradio|wwan|ieee802154|arcnet|fddi|plip|slip)", "usb/(host|storage|core|common|class|typec)", "hid/",
    r"gpu/drm/(bochs|qxl|tiny|virtio|vboxvideo|vmwgfx|ast|mgag200|cirrus|gma500|drm_\w+|ttm|scheduler|display|hyperv)", "video/fbdev/core",
    "i2c/(algos|i2c-core|busses)", "block/", "ata/", "scsi/", "nvme/", "virtio/", "vhost/", "vdpa", "mmc/", "md/dm-(mod|bufio)", "input/",
    "char/(hw_random|tpm)", "cpufreq/", "acpi/", "thermal/", "hv/", "xen/", "firmware/", "ptp/", "pps/", "phy/", "mfd/lpc", "dca/", "cdrom/",
    "bus/mhi", r"parport/parport\.", "message/fusion", "tty/serial", "pci/", "platform/x86/(wmi|intel_pmc)", "misc/(vmw|enclosure)", "vfio/",
    "iommu", "uio/", "dma/", "hwmon/coretemp", "powercap")) + ")")
DROPPED = re.compile("drivers/|sound/|samples/|lib/test_|lib/kunit/|lib/tests/"
                     "|fs/(?!overlayfs|squashfs|isofs|ext4|jbd2|mbcache|fat|nls|fuse|binfmt_misc|configfs|efivarfs|udf|exfat|9p|netfs|autofs)"
                     "|net/(wireless|mac80211|bluetooth|nfc|can|ax25|netrom|rose|atm|decnet|appletalk|ieee802154|mac802154|6lowpan|rxrpc|dccp"
                     "|sctp|tipc|smc|rds|batman|ceph|sunrpc|phonet|lapb|x25)")
# What the initramfs loads by itself, or by the aliases of the devices that are there.
EARLY = re.compile(r"loop|squashfs|overlay|isofs|ext4|sd_mod|sr_mod|cdrom|ahci|ata_piix|ata_generic|pata_\w+|sata_\w+|pdc_adma|uas|usb_storage"
                   r"|xhci_pci\w*|ehci_pci|ohci_pci|uhci_hcd|nvme|virtio_pci|virtio_blk|virtio_scsi|mptspi|mptsas|vmw_pvscsi|hv_storvsc|sdhci_pci"
                   r"|sdhci_acpi|mmc_block|rtsx_pci\w*|crc32c_generic|libcrc32c|xxhash_generic|vmd|hid_generic|usbhid|atkbd|i8042")


def kernel_folder(cache, release):
    """A folder with the kernel and all of its modules; make-guest.py, which keeps fewer, finds it under this name, too."""
    return unpacked(cache, f"kernel-{release}", release, [], with_dependencies=False,
                    meta=("linux-image-amd64", "linux-image-", ("linux-binary-", "linux-modules-")),
                    only=["./boot/vmlinuz*", "./*lib/modules/*"],
                    parts=(("boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz"),
                           ("lib/modules/*/modules.builtin", "usr/lib/modules/*/modules.builtin")))


def _copy_module(path, target):
    """Unpacked: the squashfs packs it once more, and xz costs seconds at each start."""
    base, extension = os.path.splitext(target)
    if extension != ".xz":
        shutil.copyfile(path, target)
        return
    with lzma.open(path) as packed, open(base, "wb") as file:
        shutil.copyfileobj(packed, file)


class Kernel:
    def __init__(self, cache, work, release):
        folder = kernel_folder(cache, release)
        places = glob.glob(os.path.join(folder, "lib/modules/*")) + glob.glob(os.path.join(folder, "usr/lib/modules/*"))
        self.version = os.path.basename(places[0])
        images = glob.glob(os.path.join(folder, "boot/vmlinuz-*")) + glob.glob(os.path.join(places[0], "vmlinuz"))
        self.image = images[0]
        self._from = places[0]
        self.modules = os.path.join(work, "kernel", "lib/modules", self.version)
        self._work = work

    def select(self):
        """Copies what is kept into self.modules, with the tables that modprobe reads."""
        base = os.path.join(self._work, "kernel")
        shutil.rmtree(base, ignore_errors=True)
        kept = 0
        for parent, _, names in os.walk(os.path.join(self._from, "kernel")):
            where = os.path.relpath(parent, os.path.join(self._from, "kernel"))
            for name in names:
                path = os.path.normpath(os.path.join(where, name))
                if KEPT.match(path) or not DROPPED.match(path):
                    target = os.path.join(self.modules, "kernel", path)
                    os.makedirs(os.path.dirname(target), exist_ok=True)
                    _copy_module(os.path.join(parent, name), target)
                    kept += 1
        for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
            if os.path.exists(os.path.join(self._from, name)):
                shutil.copyfile(os.path.join(self._from, name), os.path.join(self.modules, name))
        if not shutil.which("depmod", path=f"{os.environ['PATH']}:/usr/sbin:/sbin"):
            raise Unavailable("depmod is missing: install kmod")
        run(["depmod", "-b", base, self.version], f"tables of {kept} modules of Linux {self.version}", os.path.join(self._work, "depmod.log"),
            environment={"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"})

    def initramfs(self, busybox, init, path):
        """Writes the initramfs: busybox, our init, and modules for disks."""
        modules = Modules(os.path.join(self.modules, "kernel"))
        names = modules.with_needs(sorted(name for name in modules.names() if EARLY.fullmatch(name)))
        folder = f"lib/modules/{self.version}"
        with Step(f"initramfs with {len(names)} modules"), open(path + ".cpio", "wb") as file:
            archive = Archive(file)
            archive.console()
            for name in ("proc", "sys", "dev", "run", "media", "root", "bin", "sbin", "usr/bin", "usr/sbin", "etc"):
                archive.folder(name)
            with open(init, "rb") as source:
                archive.data("init", source.read(), 0o755)
            archive.copy(busybox, "bin/busybox")
            archive.link("bin/sh", "busybox")
            for name in names:
                archive.data(f"{folder}/{name}.ko", modules.data(name))
            archive.text(f"{folder}/modules.dep", modules.dependency_table(names, "/" + folder))
            archive.text(f"{folder}/modules.alias", modules.alias_table(names))
            archive.close()
            file.close()
            done = subprocess.run(["zstd", "-q", "-f", "-12", "-T1", path + ".cpio", "-o", path], capture_output=True, text=True)
            if done.returncode != 0:
                raise Unavailable(f"zstd: {done.stderr.strip()}")
            os.remove(path + ".cpio")
