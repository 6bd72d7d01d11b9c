# SPDX-License-Identifier: BSD-2-Clause
"""Ports on network interfaces: a veth pair, in a namespace that the bench makes, by netmap and by what a user would take
instead. From one end to a reader at the other, and sending alone."""
import json
import os
import struct
import time
from contextlib import ExitStack

from harness.children import Children
from harness.measure import Check, Group, Row, Sample, Window
from harness.network import (START_TIMEOUT_S, WARM_UP_S, Counters, make_namespace, need_command, need_program, need_root, run,
                             sample_pair)
from rows import pktgen

NEAR, FAR = "near", "far"
LENGTH = 60


def _pair(bench, undo):
    """The namespace with both ends in it, up and quiet."""
    need_root("a veth pair")
    need_command("ip")
    name = f"{bench.prefix}-nic"
    make_namespace(undo, name)
    run(["ip", "-n", name, "link", "add", NEAR, "address", pktgen.SENDER_MAC, "type", "veth", "peer", "name", FAR,
         "address", pktgen.RECEIVER_MAC])
    for end in (NEAR, FAR):
        run(["ip", "-n", name, "link", "set", end, "up"])
    return name


def _arrived(name):
    link = json.loads(run(["ip", "-n", name, "-s", "-j", "link", "show", "dev", FAR]))
    return link[0]["stats64"]["rx"]["packets"]


def _sample_arrivals(bench, children, name, sender):
    """Mpps that arrive at the far end, read or not."""
    sender.wait_for(lambda: _arrived(name) > 1000, "packets at the far end", START_TIMEOUT_S)
    time.sleep(WARM_UP_S)
    before, window = _arrived(name), Window(children.pids(), kernel=True)
    time.sleep(bench.seconds)
    packets = _arrived(name) - before
    window.close()
    children.check()
    return Sample(packets / window.seconds / 1e6, window.detail(packets))


def _start_pktgen(bench, generators, name, mode, end, cpu, *more):
    return generators.children.start([bench.tool("pkt-gen"), "-i", f"netmap:{end}", "-f", mode, "-w", 0, "-T",
                                      pktgen.REPORT_MS, *more], cpu=cpu, netns=name)


def _same_frame(bench):
    """A capture file with the frame that the peers send. What nobody reads, the stack at the far end takes: pkt-gen's own
    packets it would look up a route for, which is no part of sending."""
    frame = b"".join(bytes.fromhex(mac.replace(":", "")) for mac in (pktgen.RECEIVER_MAC, pktgen.SENDER_MAC))
    frame = (frame + b"\x88\xb5").ljust(LENGTH, b"\x5a")
    path = os.path.join(bench.folder, "frame.pcap")
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        file.write(struct.pack("<IIII", 0, 0, LENGTH, LENGTH) + frame)
    return path


def pktgen_pair(bench):
    with ExitStack() as undo:
        name = _pair(bench, undo)
        generators = undo.enter_context(pktgen.PktGen(bench))
        receiver = _start_pktgen(bench, generators, name, "rx", FAR, bench.cpus[-1])
        receiver.wait_for_line("main_thread")
        sender = _start_pktgen(bench, generators, name, "tx", NEAR, bench.cpus[0], "-l", LENGTH, "-S", pktgen.SENDER_MAC,
                               "-D", pktgen.RECEIVER_MAC)
        received, detail = generators.observe(receiver, sender, kernel=True)
    return Sample(received / 1e6, detail)


def packet_mmap_pair(bench):
    client = need_program(bench, "packet-client")
    with ExitStack() as undo:
        name = _pair(bench, undo)
        children = undo.enter_context(Children())
        received, sent = Counters(bench, "received"), Counters(bench, "sent")
        receiver = children.start([client, "rx", FAR, LENGTH, received.path], cpu=bench.cpus[-1], netns=name)
        children.start([client, "tx", NEAR, LENGTH, sent.path], cpu=bench.cpus[0], netns=name)
        return sample_pair(bench, children, receiver, received, sent)


def pktgen_alone(bench):
    with ExitStack() as undo:
        name = _pair(bench, undo)
        generators = undo.enter_context(pktgen.PktGen(bench))
        sender = _start_pktgen(bench, generators, name, "tx", NEAR, bench.cpus[0], "-P", _same_frame(bench))
        return _sample_arrivals(bench, generators.children, name, sender)


def packet_mmap_alone(bench):
    client = need_program(bench, "packet-client")
    with ExitStack() as undo:
        name = _pair(bench, undo)
        children = undo.enter_context(Children())
        sent = Counters(bench, "sent")
        sender = children.start([client, "tx", NEAR, LENGTH, sent.path], cpu=bench.cpus[0], netns=name)
        return _sample_arrivals(bench, children, name, sender)


def across(_bench):
    rows = [Row("pkt-gen", "Mpps", pktgen_pair, cpus=2), Row("PACKET_MMAP", "Mpps", packet_mmap_pair, cpus=2)]
    return Group("nic", "veth pair, 60 bytes, from one end to a reader at the other", rows,
                 [Check("pkt-gen", "PACKET_MMAP", ">=", 2, "times PACKET_MMAP")])


def sending(_bench):
    rows = [Row("pkt-gen", "Mpps", pktgen_alone), Row("PACKET_MMAP", "Mpps", packet_mmap_alone)]
    return Group("nic-tx", "veth pair, 60 bytes, sending alone", rows,
                 [Check("pkt-gen", "PACKET_MMAP", ">=", 2, "times PACKET_MMAP")])


GROUPS = {"nic": across, "nic-tx": sending}
