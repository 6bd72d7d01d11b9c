# SPDX-License-Identifier: BSD-2-Clause
"""Makes what a test guest boots: Debian's kernel, and an initramfs with busybox, this project's programs and some tools."""
