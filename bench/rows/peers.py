# SPDX-License-Identifier: BSD-2-Clause
"""What a user would pick instead: a Linux bridge with veth pairs or taps, vde_switch, DPDK's testpmd. Each row delivers frames
from one process through a switch to another; the bench makes and removes all of it."""
import os
from contextlib import ExitStack

from harness.children import Children
from harness.measure import Check, Group, Row
from harness.network import (Counters, make_bridge, make_namespace, need_command, need_program, need_root, run,
                             sample_pair)
from rows import dpdk, pktgen

SENDER_MAC, RECEIVER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
OURS = "pkt-gen, VALE, one core"


def bridge_veth(bench, length):
    need_root("the bridge")
    need_command("ip")
    client = need_program(bench, "packet-client")
    names = {part: f"{bench.prefix}-{part}" for part in ("switch", "tx", "rx")}
    with ExitStack() as undo:
        for name in names.values():
            make_namespace(undo, name)
        make_bridge(names["switch"])
        for part, mac in (("tx", SENDER_MAC), ("rx", RECEIVER_MAC)):
            run(["ip", "-n", names["switch"], "link", "add", f"port-{part}", "type", "veth", "peer", "name", "eth0", "netns",
                 names[part]])
            run(["ip", "-n", names["switch"], "link", "set", f"port-{part}", "master", "br0", "up"])
            run(["ip", "-n", names[part], "link", "set", "eth0", "address", mac, "up"])
        children = undo.enter_context(Children())
        received, sent = Counters(bench, "received"), Counters(bench, "sent")
        receiver = children.start([client, "rx", "eth0", length, received.path], cpu=bench.cpus[1], netns=names["rx"])
        children.start([client, "tx", "eth0", length, sent.path], cpu=bench.cpus[0], netns=names["tx"])
        return sample_pair(bench, children, receiver, received, sent)


def bridge_tap(bench, length):
    need_root("the bridge")
    need_command("ip")
    client = need_program(bench, "tap-client")
    name = f"{bench.prefix}-tap"
    with ExitStack() as undo:
        make_namespace(undo, name)
        make_bridge(name)
        for tap in ("tap-tx", "tap-rx"):
            run(["ip", "-n", name, "tuntap", "add", "dev", tap, "mode", "tap"])
            run(["ip", "-n", name, "link", "set", tap, "master", "br0", "up"])
        children = undo.enter_context(Children())
        received, sent = Counters(bench, "received"), Counters(bench, "sent")
        receiver = children.start([client, "rx", "tap-rx", length, received.path], cpu=bench.cpus[1], netns=name)
        children.start([client, "tx", "tap-tx", length, sent.path], cpu=bench.cpus[0], netns=name)
        return sample_pair(bench, children, receiver, received, sent)


def vde(bench, length):
    program, client = need_command("vde_switch"), need_program(bench, "vde-client")
    folder = os.path.join(bench.folder, "vde")
    with Children() as children:
        switch = children.start([program, "-s", folder], cpu=bench.cpus[1], interactive=True)
        switch.wait_for(lambda: os.path.exists(os.path.join(folder, "ctl")), "its control socket")
        received, sent = Counters(bench, "received"), Counters(bench, "sent")
        receiver = children.start([client, "rx", folder, length, received.path], cpu=bench.cpus[0])
        children.start([client, "tx", folder, length, sent.path], cpu=bench.cpus[0])
        return sample_pair(bench, children, receiver, received, sent)


def _group(bench, name, length):
    cpu = bench.cpus[0]
    rows = [
        Row(OURS, "Mpps", lambda b: pktgen.pair(b, length, cpu, cpu, True)),
        Row("pkt-gen, VALE, two cores", "Mpps", lambda b: pktgen.pair(b, length, *b.cpus, True), cpus=2),
        Row("Linux bridge, 2 veth, PACKET_MMAP", "Mpps", lambda b: bridge_veth(b, length), cpus=2),
        Row("Linux bridge, 2 taps", "Mpps", lambda b: bridge_tap(b, length), cpus=2),
        Row("vde_switch", "Mpps", lambda b: vde(b, length), cpus=2),
        Row("DPDK testpmd, memif", "Mpps", lambda b: dpdk.testpmd_memif(b, length), cpus=2),
    ]
    checks = [Check(OURS, row.name, "", 0, f"times {row.name}") for row in rows[2:]]
    return Group(name, f"Peers: one process to another through a switch, {length} bytes", rows, checks)


GROUPS = {"peers": lambda bench: _group(bench, "peers", 60), "peers-large": lambda bench: _group(bench, "peers-large", 1514)}
