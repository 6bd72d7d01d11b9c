# SPDX-License-Identifier: BSD-2-Clause
"""Labs: nodes, links and steps of a file, made of a daemon of their own. See unetmap-lab(8)."""
