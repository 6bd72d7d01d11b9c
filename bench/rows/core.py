# SPDX-License-Identifier: BSD-2-Clause
"""Groups that hold our pkt-gen against the yardstick: VALE, pipes, round trips."""
from harness.measure import Check, Group, Row
from rows import pktgen, yardstick

SMALL, LARGE = 60, 1514


def _against_limit(name, title, ours, theirs, target, cpus=1, text="of the yardstick"):
    rows = [Row("pkt-gen", "Mpps", ours, cpus), Row("limit", "Mpps", theirs, cpus)]
    return Group(name, title, rows, [Check("pkt-gen", "limit", ">=", target, text)])


def one_core(bench):
    cpu = bench.cpus[0]
    return _against_limit("vale", "VALE, 60 bytes, one core, lossless",
                          lambda b: pktgen.pair(b, SMALL, cpu, cpu, True),
                          lambda b: yardstick.one_core(b, "vale", SMALL, 1), 1.0)


def one_core_drops(bench):
    cpu = bench.cpus[0]
    return _against_limit("drops", "VALE, 60 bytes, one core, default rule (a full port drops)",
                          lambda b: pktgen.pair(b, SMALL, cpu, cpu, False),
                          lambda b: yardstick.one_core(b, "vale", SMALL, 0), 1.0)


def two_cores(bench):
    return _against_limit("vale2", "VALE, 60 bytes, two cores, lossless",
                          lambda b: pktgen.pair(b, SMALL, *b.cpus, True),
                          lambda b: yardstick.two_cores(b, SMALL), 1.0, cpus=2)


def large(bench):
    cpu = bench.cpus[0]
    return _against_limit("large", "VALE, 1514 bytes, one core, lossless",
                          lambda b: pktgen.pair(b, LARGE, cpu, cpu, True),
                          lambda b: yardstick.one_core(b, "vale", LARGE, 1), 0.97)


def pipes(bench):
    return _against_limit("pipe", "Pipe, 60 bytes, one core",
                          lambda b: pktgen.pipe(b, SMALL),
                          lambda b: yardstick.one_core(b, "pipe", SMALL, 1), 1.0)


def ping(bench):
    cpu = bench.cpus[0]
    rows = [Row("pkt-gen", "us", lambda b: pktgen.round_trip(b, SMALL, cpu, cpu)),
            Row("limit", "us", lambda b: yardstick.ping_one_core(b, SMALL))]
    return Group("ping", "Round trip, 60 bytes, one core", rows,
                 [Check("pkt-gen", "limit", "<=", 1.15, "times the yardstick's round trip")])


def ping_busy(bench):
    rows = [Row("pkt-gen --busy", "us", lambda b: pktgen.round_trip(b, SMALL, *b.cpus, more=("--busy",)), cpus=2)]
    return Group("ping2", "Round trip, 60 bytes, two cores, both sides busy", rows,
                 [Check("pkt-gen --busy", None, "<=", 1.0, "us")])


GROUPS = {"vale": one_core, "drops": one_core_drops, "vale2": two_cores, "large": large, "pipe": pipes, "ping": ping,
          "ping2": ping_busy}
