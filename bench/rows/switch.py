# SPDX-License-Identifier: BSD-2-Clause
"""Two hosts (network namespaces), each with a veth whose other end is in a third one: on a VALE switch there (vale-ctl -a),
or on a Linux bridge. TCP as the hosts' own stacks send it, and 60-byte frames by PACKET_MMAP."""
import json
from contextlib import ExitStack

from harness.children import Children
from harness.measure import Check, Group, Row, Sample
from harness.network import Counters, make_bridge, make_namespace, need_command, need_program, need_root, run, sample_pair
from rows.peers import RECEIVER_MAC, SENDER_MAC

SWITCH = "valebench"
ADDRESSES = {"tx": "10.88.0.1", "rx": "10.88.0.2"}
IPERF_PORT_HEX = ":1451"
OURS_TCP, ITSELF_TCP, BRIDGE_TCP = "iperf3 TCP, veth-VALE-veth", "iperf3 TCP, VALE itself", "iperf3 TCP, veth-bridge-veth"
OURS_SMALL, BRIDGE_SMALL = "PACKET_MMAP, veth-VALE-veth", "PACKET_MMAP, veth-bridge-veth"


def _hosts(bench, undo, vale, itself=False):
    """The three namespaces, connected; returns their names. `itself`: each frame goes through the switch, as what lossless ports get has no
    shortcut in the kernel."""
    need_root("namespaces")
    need_command("ip")
    names = {part: f"{bench.prefix}-{part}" for part in ("switch", "tx", "rx")}
    for name in names.values():
        make_namespace(undo, name)
    if not vale:
        make_bridge(names["switch"])
    for part, mac in (("tx", SENDER_MAC), ("rx", RECEIVER_MAC)):
        port, host = f"port-{part}", names[part]
        run(["ip", "-n", names["switch"], "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", host])
        run(["ip", "-n", host, "link", "set", "eth0", "address", mac, "up"])
        run(["ip", "-n", host, "addr", "add", f"{ADDRESSES[part]}/24", "dev", "eth0"])
        run(["ip", "-n", names["switch"], "link", "set", port, "up"])
        if vale:
            attached = f"{SWITCH}:{port}"
            bench.run_tool("vale-ctl", "-a", attached, netns=names["switch"])
            undo.callback(bench.run_tool, "vale-ctl", "-d", attached, netns=names["switch"])
            if itself:
                bench.run_tool("unetmap", "set", attached, "lossless", "on")
        else:
            run(["ip", "-n", names["switch"], "link", "set", port, "master", "br0"])
    # Both ends are known to each other and to the switch, and its shortcuts have followed.
    for _ in range(5):
        run(["ip", "netns", "exec", names["tx"], "ping", "-q", "-c", "2", "-i", "0.2", ADDRESSES["rx"]])
    return names


def _listens(namespace):
    tables = run(["ip", "netns", "exec", namespace, "cat", "/proc/net/tcp", "/proc/net/tcp6"], check=False)
    return any(line.split()[1].endswith(IPERF_PORT_HEX) for line in tables.splitlines() if ":" in line.split()[1])


def tcp(bench, vale, itself=False):
    need_command("iperf3")
    with ExitStack() as undo:
        names = _hosts(bench, undo, vale, itself)
        children = undo.enter_context(Children())
        server = children.start(["iperf3", "-s", "-1"], cpu=bench.cpus[1], netns=names["rx"])
        server.wait_for(lambda: _listens(names["rx"]), "its port")
        out = run(["ip", "netns", "exec", names["tx"], "taskset", "-c", str(bench.cpus[0]), "iperf3", "-J", "-t",
                   str(max(1, round(bench.seconds))), "-c", ADDRESSES["rx"]])
        end = json.loads(out)["end"]
        return Sample(end["sum_received"]["bits_per_second"] / 1e9,
                      {"retransmits": end["sum_sent"]["retransmits"],
                       "cpu_percent": end["cpu_utilization_percent"]["host_total"]})


def small(bench, vale):
    client = need_program(bench, "packet-client")
    with ExitStack() as undo:
        names = _hosts(bench, undo, vale)
        children = undo.enter_context(Children())
        received, sent = Counters(bench, "received"), Counters(bench, "sent")
        receiver = children.start([client, "rx", "eth0", 60, received.path], cpu=bench.cpus[1], netns=names["rx"])
        children.start([client, "tx", "eth0", 60, sent.path], cpu=bench.cpus[0], netns=names["tx"])
        return sample_pair(bench, children, receiver, received, sent)


def _group(bench):
    rows = [
        Row(OURS_TCP, "Gbit/s", lambda b: tcp(b, True), cpus=2),
        Row(ITSELF_TCP, "Gbit/s", lambda b: tcp(b, True, itself=True), cpus=2),
        Row(BRIDGE_TCP, "Gbit/s", lambda b: tcp(b, False), cpus=2),
        Row(OURS_SMALL, "Mpps", lambda b: small(b, True), cpus=2),
        Row(BRIDGE_SMALL, "Mpps", lambda b: small(b, False), cpus=2),
    ]
    checks = [Check(OURS_TCP, BRIDGE_TCP, ">=", 1.0, "times the bridge, TCP"),
              Check(ITSELF_TCP, BRIDGE_TCP, ">=", 1.0, "times the bridge, TCP through the switch itself"),
              Check(OURS_SMALL, BRIDGE_SMALL, "", 0, "times the bridge, 60 bytes")]
    return Group("switch", "Interfaces on a switch: two hosts through veths", rows, checks)


GROUPS = {"switch": _group}
