# SPDX-License-Identifier: BSD-2-Clause
"""Makes the bootable image: a root from Debian packages, this project built for that release, an initramfs, and a disk for BIOS and UEFI."""
