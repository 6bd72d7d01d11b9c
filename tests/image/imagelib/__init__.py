# SPDX-License-Identifier: BSD-2-Clause
"""A machine that boots the image under emulation, and its serial console."""
