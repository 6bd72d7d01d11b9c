# SPDX-License-Identifier: BSD-2-Clause
"""Captures: how true to its stamps nmreplay sends one, and whether `unetmap capture` writes all that passes a port."""
import json
import os
import random
import shutil
import signal
import struct

from harness.children import Failed
from harness.measure import Check, Group, Row, Sample, Window
from rows import arrivals, pktgen

# A capture of two seconds whose gaps are those of a Poisson process, so that some are shorter than a sleep, and some long.
REPLAYED, GAP_US = 20_000, 100
REPLAY_LIMIT_S = 30
CAPTURED_S = 10
LOADS = {"60 bytes, 5 Mpps": (60, 5_000_000), "1514 bytes, 10 Gbit/s": (1514, 826_000)}
# Memory, so that no disk is what is measured; of two files so large at most.
FOLDER, FILE_BYTES = "/dev/shm", 256_000_000


def _write_capture(path):
    """A pcap file with stamps in nanoseconds; each frame has its own, since the first one's, behind its header."""
    gaps = random.Random(1)
    since_ns = 0
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1))
        for _ in range(REPLAYED):
            frame = bytes.fromhex("02000000000202000000000188b5") + struct.pack("<Q", since_ns)
            frame += bytes(60 - len(frame))
            file.write(struct.pack("<IIII", 1_000_000_000 + since_ns // 10**9, since_ns % 10**9, len(frame), len(frame)) + frame)
            since_ns += round(gaps.expovariate(1 / GAP_US) * 1000)


def _replayed(bench):
    """Microseconds that the median left later than the earliest packet, in comparison with their stamps; also the last of 1000."""
    path = os.path.join(bench.folder, "replayed.pcap")
    _write_capture(path)
    with pktgen.PktGen(bench) as generators:
        clock = arrivals.start(bench, generators.children, "vale0:clock", REPLAYED)
        generators.set_lossless(clock, "vale0:clock")  # what the reader is not in time for comes late instead of never
        sender = generators.children.start([bench.tool("nmreplay"), "-f", path, "-i", "vale0:replay", "-l", 1], cpu=bench.cpus[0])
        sender.finish(REPLAY_LIMIT_S)
        late = arrivals.microseconds(clock, REPLAYED, REPLAY_LIMIT_S)
    return Sample(late["p50"], late)


def replay(_bench):
    return Group("replay", f"nmreplay: packets of a capture, one in {GAP_US} us, how much later than their stamps say",
                 [Row("late", "us", _replayed, cpus=2)],
                 [Check("late", None, "<=", 2, "us late at the median"),
                  Check("late", None, "<=", 50, "us late at the 99.9th percentile", "p999")])


def _captured(bench, length, rate):
    """Per cent of the packets that a capture did not write; that they were counted is asked for."""
    folder = os.path.join(FOLDER, bench.prefix)
    os.makedirs(folder, exist_ok=True)
    wanted = rate * CAPTURED_S
    try:
        with pktgen.PktGen(bench) as generators:
            receiver = generators.start("rx", "vale0:watched", bench.cpus[0])
            receiver.wait_for_line("main_thread")
            generators.set_lossless(receiver, "vale0:watched")  # the capture sees what arrives
            generators.announce("vale0:watched", pktgen.RECEIVER_MAC)
            capture = generators.children.start(
                [bench.tool("unetmap"), "capture", "vale0:watched", "-w", os.path.join(folder, "c.pcapng"), "--rotate", f"{FILE_BYTES}",
                 "--keep", 1, "--json", f"ether dst {pktgen.RECEIVER_MAC}"], cpu=bench.cpus[1])
            capture.wait_for_line("capturing on")
            sender = generators.start("tx", "vale0:tx", bench.cpus[0], "-l", length, "-R", rate, "-n", wanted, "-S", pktgen.SENDER_MAC,
                                      "-D", pktgen.RECEIVER_MAC)
            window = Window([capture.pid])
            sender.finish(3 * CAPTURED_S)
            window.close()
            capture.stop(signal.SIGINT)
            counts = json.loads(next(line for line in reversed(capture.output().splitlines()) if line.startswith("{")))
    finally:
        shutil.rmtree(folder, True)
    if counts["packets"] + counts["lost"] != wanted:
        raise Failed(f"of {wanted} packets {counts['packets']} were written and {counts['lost']} counted as lost")
    return Sample(100 * counts["lost"] / wanted, window.detail(counts["packets"]))


def capture(_bench):
    rows = [Row(name, "% lost", lambda b, load=load: _captured(b, *load), cpus=2) for name, load in LOADS.items()]
    return Group("capture", f"unetmap capture into memory, {CAPTURED_S} s", rows,
                 [Check(name, None, "<=", 0, f"% lost, {name}") for name in LOADS])


GROUPS = {"replay": replay, "capture": capture}
