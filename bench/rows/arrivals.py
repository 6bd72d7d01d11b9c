# SPDX-License-Identifier: BSD-2-Clause
"""What bench-arrivals says of stamped packets that it waited for without sleeping."""
import re

from harness.children import Failed
from harness.network import need_program


def start(bench, children, port, count, *sending):
    """Waits for so many packets at `port`; `sending`: the port to send them from, and microseconds between them."""
    clock = children.start([need_program(bench, "arrivals"), port, count, *sending], cpu=bench.cpus[-1])
    clock.wait_for_line("ready")
    return clock


def microseconds(clock, count, limit_s):
    """How late the earliest packet was (`least`), and how much later than that the median (`p50`) and the last of 1000 (`p999`)."""
    found = dict(re.findall(r"(\w+)=(\d+)", clock.finish(limit_s)))
    if int(found.get("packets", 0)) != count:
        raise Failed(f"of {count} packets {found.get('packets', 'none')} came")
    return {name: int(found[f"{name}_ns"]) / 1000 for name in ("least", "p50", "p999")}
