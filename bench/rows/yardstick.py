# SPDX-License-Identifier: BSD-2-Clause
"""Runs bench-limit, the yardstick: what two processes can do on this machine with shared memory and nothing else."""
import re

from harness.children import Children, Failed
from harness.measure import Sample

SPIN_ROUNDS = 2000


def limit(bench, mode, length, tx_cpu, rx_cpu, wait, spin):
    """One run; the fields of its output line as numbers, besides the mode."""
    with Children() as children:
        run = children.start([bench.program("limit"), mode, length, tx_cpu, rx_cpu, wait, spin, bench.seconds])
        output = run.finish(timeout_s=bench.seconds + 20)
    fields = dict(re.findall(r"(\w+)=([\d.]+)", output))
    if not fields:
        raise Failed(f"bench-limit printed '{output}', no key=value pairs")
    return {key: float(value) for key, value in fields.items()}


def _rate(fields):
    return Sample(fields["mpps"], {"cpu_ns_per_packet": fields["cpu_ns_per_packet"],
                                   "loss_percent": fields["lost_percent"]})


def one_core(bench, mode, length, wait):
    cpu = bench.cpus[0]
    return _rate(limit(bench, mode, length, cpu, cpu, wait, 0))


def two_cores(bench, length):
    """The better of sleeping at once and spinning first."""
    runs = [limit(bench, "vale", length, *bench.cpus, 1, spin) for spin in (0, SPIN_ROUNDS)]
    return _rate(max(runs, key=lambda fields: fields["mpps"]))


def ping_one_core(bench, length):
    cpu = bench.cpus[0]
    return Sample(limit(bench, "ping", length, cpu, cpu, "-", 0)["rtt_us"])
