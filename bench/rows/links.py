# SPDX-License-Identifier: BSD-2-Clause
"""What tlem makes of a link, held against what it was asked for: delay and loss."""
import json
import math

from harness.measure import Check, Group, Row, Sample
from rows import arrivals, pktgen

# Where pkt-gen's percentiles are 32 us apart; half of that is one way's.
DELAY_US = 500
PINGS, PINGS_A_SECOND = 1000, 500
PACKETS_TIMED, INTERVAL_US = 1000, 2000
LOSS, PACKETS, PACKETS_A_SECOND = 0.02, 100_000, 50_000
LIMIT_S = 120
# Of a normal distribution, 99 % lie within so many standard deviations.
WITHIN_99_PERCENT = 2.58
ENDS = ("vale0:line", "vale1:line")


def _answer(text):
    """The JSON among what a program and its library said."""
    return json.loads(next(line for line in reversed(text.splitlines()) if line.startswith("{")))


def _line(bench, generators, *model):
    line = generators.children.start([bench.tool("tlem"), "-q", *model, "-i", ENDS[0], "-i", ENDS[1]], cpu=bench.cpus[0])
    line.wait_for_line("ready")
    # What is lost is lost by the model.
    for end in ENDS:
        generators.set_lossless(line, end)


def _on_their_way_us(bench, *model):
    """The median of packets that a reader waits for without sleeping: from one end of the line to the other, or over one switch."""
    far = "vale1" if model else "vale0"
    with pktgen.PktGen(bench) as generators:
        if model:
            _line(bench, generators, *model)
        clock = arrivals.start(bench, generators.children, f"{far}:clock", PACKETS_TIMED, "vale0:stamps", INTERVAL_US)
        took = arrivals.microseconds(clock, PACKETS_TIMED, LIMIT_S)
    return took["least"] + took["p50"]


def _round_trip_us(bench, *model):
    far = "vale1" if model else "vale0"
    with pktgen.PktGen(bench) as generators:
        if model:
            _line(bench, generators, *model)
        pong = generators.start("pong", f"{far}:pong", bench.cpus[-1])
        pong.wait_for_line("main_thread")
        ping = generators.start("ping", "vale0:ping", bench.cpus[-1], "-n", PINGS, "-R", PINGS_A_SECOND, "--json")
        return _answer(ping.finish(LIMIT_S))["rtt_ns"]["p50"] / 1000


def delay(bench):
    """How far the median is from what was asked, without what the same ports take with no line between."""
    own, with_line = _on_their_way_us(bench), _on_their_way_us(bench, "-D", f"{DELAY_US}u")
    return Sample(abs(with_line - own - DELAY_US), {"on_their_way_us": with_line})


def delay_asleep(bench):
    """The same of one way of a ping, whose ends sleep: that they have to be woken is in it."""
    own = _round_trip_us(bench)
    with_line = _round_trip_us(bench, "-D", f"{DELAY_US}u")
    return Sample(abs((with_line - own) / 2 - DELAY_US), {"round_trip_us": with_line})


def loss(bench):
    """How many standard deviations the share of lost packets is from what was asked."""
    with pktgen.PktGen(bench) as generators:
        _line(bench, generators, "-L", LOSS, "--seed", bench.runs)
        receiver = generators.start("rx", "vale1:rx", bench.cpus[-1], "-n", 2 * PACKETS)
        generators.set_lossless(receiver, "vale1:rx")
        sender = generators.start("tx", "vale0:tx", bench.cpus[-1], "-n", PACKETS, "-R", PACKETS_A_SECOND)
        sender.finish(LIMIT_S)
        seen = [0, -1]

        def still():
            """All that comes has come: no more in the last reports."""
            seen[0], seen[1] = sum(packets for _, packets, _ in pktgen.reports(receiver)), seen[0]
            return seen[0] == seen[1] and pktgen.reports(receiver)[-1][1] == 0

        receiver.wait_for(still, "end of packets", timeout_s=LIMIT_S)
        share = 1 - seen[0] / PACKETS
    return Sample(abs(share - LOSS) / math.sqrt(LOSS * (1 - LOSS) / PACKETS), {"loss_percent": 100 * share})


def links(_bench):
    rows = [Row("delay", "us", delay), Row("delay, ends asleep", "us", delay_asleep), Row("loss", "sd", loss)]
    return Group("links", f"tlem: {DELAY_US} us and {LOSS:.0%} loss, against what comes out", rows,
                 [Check("delay", None, "<=", 50, "us from what was asked, at the median"),
                  Check("delay, ends asleep", None, "", 0, "us from what was asked, between ends that have to be woken"),
                  Check("loss", None, "<=", WITHIN_99_PERCENT, "standard deviations from what was asked")])


GROUPS = {"links": links}
