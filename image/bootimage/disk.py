# SPDX-License-Identifier: BSD-2-Clause
"""A disk for BIOS and UEFI at once: an ISO 9660 file system that is also a disk with a partition table, made by grub-mkrescue."""
import datetime
import os
import shutil
import struct
import uuid

from bootimage.step import run
from guestimage.packages import Unavailable

LABEL = "UNETMAP"
# What GRUB needs of its modules; the rest is megabytes that nobody loads.
MODULES = ("normal linux configfile search search_label search_fs_file iso9660 part_gpt part_msdos fat serial terminal terminfo echo test "
           "all_video gfxterm video font reboot halt sleep minicmd ls cat chain probe true smbios")
EFI_PARTITION = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b").bytes_le
BIOS_FOLDER, EFI_FOLDER = "/usr/lib/grub/i386-pc", "/usr/lib/grub/x86_64-efi"


def check():
    for program, package in (("mmdebstrap", "mmdebstrap"), ("mksquashfs", "squashfs-tools"), ("grub-mkrescue", "grub-common"),
                             ("xorriso", "xorriso"), ("mformat", "mtools"), ("zstd", "zstd"), ("depmod", "kmod")):
        if not shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin"):
            raise Unavailable(f"{program} is missing: install {package} (./dev image does)")
    for folder, package in ((BIOS_FOLDER, "grub-pc-bin"), (EFI_FOLDER, "grub-efi-amd64-bin")):
        if not os.path.isdir(folder):
            raise Unavailable(f"{folder} is missing: install {package} (./dev image does)")


def squashfs(tree, base, left_out, path, log, epoch, level):
    if os.path.exists(path):
        os.remove(path)
    # Not by sqfstar, whose 4.5.1 refuses every option of a compressor that has a value.
    compressor = ["-comp", "zstd", "-Xcompression-level", str(level), "-b", "1M"]
    run(["mksquashfs", "-", path, "-tar", "-quiet", "-no-progress", *compressor, "-no-xattrs"],
        f"compressing the root (zstd {level})", log, environment={"SOURCE_DATE_EPOCH": str(epoch)},
        feed=lambda pipe: tree.write(base, pipe, left_out))


def _same_serial(image, epoch):
    """The EFI partition is a FAT that mformat gives a serial number by chance: 4 bytes at 39 of a FAT12 or FAT16."""
    with open(image, "r+b") as file:
        for entry in range(128):
            file.seek(1024 + 128 * entry)  # the table of a GPT begins in sector 2
            kind, place = file.read(16), struct.unpack("<16xQ", file.read(24))[0]
            if kind == EFI_PARTITION:
                file.seek(512 * place)
                if file.read(512)[54:57] != b"FAT":
                    raise Unavailable(f"{image}: the EFI partition is no FAT12 or FAT16")
                file.seek(512 * place + 39)
                file.write(struct.pack("<I", epoch & 0xffffffff))
                return
    raise Unavailable(f"{image} has no EFI partition: is grub-efi-amd64-bin installed?")


def write(folder, image, log, epoch):
    """`folder` is what the disk holds."""
    when = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc)
    for parent, folders, names in os.walk(folder):
        for name in folders + names:
            os.utime(os.path.join(parent, name), (epoch, epoch))
    if os.path.exists(image):
        os.remove(image)
    date = when.strftime("%Y%m%d%H%M%S00")
    command = ["grub-mkrescue", f"--output={image}", "--compress=xz", "--locales=", "--fonts=", "--themes=", f"--install-modules={MODULES}", folder]
    run([*command, "--", "-volid", LABEL, "-volume_date", "all_file_dates", f"={epoch}", "-volume_date", "uuid", date],
        "writing the disk", log, environment={"SOURCE_DATE_EPOCH": str(epoch), "TZ": "UTC"})
    _same_serial(image, epoch)
