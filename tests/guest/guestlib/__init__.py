# SPDX-License-Identifier: BSD-2-Clause
"""Guests under test: booted by launch-qemu.sh, told over a serial line what to do, and gone when the test ends, however it ends."""
