# SPDX-License-Identifier: BSD-2-Clause
"""Suricata as an IPS between two veths, whose other ends are two hosts': through us and through AF_PACKET. What arrives at the second host
has gone through it."""
import glob
import json
import os
import time
from contextlib import ExitStack

from harness.children import Children, Failed, Skipped
from harness.measure import Check, Group, Row, Sample, Window
from harness.network import START_TIMEOUT_S, WARM_UP_S, Counters, make_namespace, need_command, need_program, need_root, run
from rows.pktgen import RECEIVER_MAC, SENDER_MAC

LENGTH = 60
IN, OUT = "ips-in", "ips-out"
OURS, SWITCHED, PEER = "Suricata, netmap", "Suricata, VALE", "Suricata, AF_PACKET"
RULES = """alert udp any any -> any 7001 (msg:"told of"; sid:1;)
drop udp any any -> any 7002 (msg:"by its port"; sid:2;)
drop udp any any -> any any (msg:"by its contents"; content:"no way through"; sid:3;)
drop tcp any any -> any 7003 (msg:"by its port"; sid:4;)
"""
CONFIGURATION = """%YAML 1.1
---
classification-file: {tables}/classification.config
reference-config-file: {tables}/reference.config
runmode: workers
exception-policy: ignore
stream: {{checksum-validation: no}}
unix-command: {{enabled: no}}
outputs:
  - fast: {{enabled: yes, filename: fast.log}}
  - stats: {{enabled: no}}
{capture}:
"""
EACH = {"netmap": "threads: 1, checksum-checks: no",
        "af-packet": "threads: 1, checksum-checks: no, cluster-id: {number}, cluster-type: cluster_flow, defrag: no, use-mmap: yes, "
                     "ring-size: 8192, block-size: 1048576, buffer-size: 1048576"}


def _suricata():
    """Where tests/scenario/suricata_test.sh has left it."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    found = sorted(glob.glob(os.path.join(cache, "unetmap/peers/suricata-*/suricata")), key=os.path.getmtime)
    if not found:
        raise Skipped("Suricata is not built: UNETMAP_BUILD_PEERS=1 tests/scenario/suricata_test.sh build, which takes many minutes")
    return found[-1]


def _configure(bench, program, capture, ports):
    text = CONFIGURATION.format(tables=os.path.dirname(program), capture=capture)
    for number, (near, far) in enumerate((ports, ports[::-1])):
        text += f"  - {{interface: \"{near}\", copy-iface: \"{far}\", copy-mode: ips, {EACH[capture].format(number=97 + number)}}}\n"
    for name, content in (("ips.yaml", text), ("ips.rules", RULES)):
        with open(os.path.join(bench.folder, name), "w", encoding="utf-8") as file:
            file.write(content)
    log = os.path.join(bench.folder, "ips-log")
    os.makedirs(log, exist_ok=True)
    return [program, "-c", os.path.join(bench.folder, "ips.yaml"), "-S", os.path.join(bench.folder, "ips.rules"), "-l", log, f"--{capture}"]


def _arrived(name):
    return json.loads(run(["ip", "-n", name, "-s", "-j", "link", "show", "dev", "eth0"]))[0]["stats64"]["rx"]["packets"]


def _sample(bench, capture, switched):
    need_root("namespaces")
    need_command("ip")
    client, program = need_program(bench, "packet-client"), _suricata()
    names = {part: f"{bench.prefix}-{part}" for part in ("ips", "tx", "rx")}
    with ExitStack() as undo:
        for name in names.values():
            make_namespace(undo, name)
        for part, port, mac in (("tx", IN, SENDER_MAC), ("rx", OUT, RECEIVER_MAC)):
            run(["ip", "-n", names["ips"], "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", names[part]])
            run(["ip", "-n", names[part], "link", "set", "eth0", "address", mac, "up"])
            run(["ip", "-n", names["ips"], "link", "set", port, "up"])
        ports = (IN, OUT)
        if switched:
            ports = ("vale0:ips", "vale1:ips")
            for switch, port in (("vale0", IN), ("vale1", OUT)):
                bench.run_tool("vale-ctl", "-a", f"{switch}:{port}", netns=names["ips"])
                undo.callback(bench.run_tool, "vale-ctl", "-d", f"{switch}:{port}", netns=names["ips"])
        command = _configure(bench, program, capture, ports)
        ours = capture == "netmap"
        children = undo.enter_context(bench.netmap_children() if ours else Children())
        # Without us it runs with functions that do nothing in place of ours.
        children.environment({"LD_LIBRARY_PATH": os.path.join(bench.options.build_dir, "lib") if ours
                              else os.path.join(os.path.dirname(program), "plain")})
        ips = children.start(command, cpu=bench.cpus[-1], netns=names["ips"])
        ips.wait_for_line("Engine started", START_TIMEOUT_S)
        sent = Counters(bench, "sent")
        undo.enter_context(Children()).start([client, "udp", "eth0", LENGTH, sent.path], cpu=bench.cpus[0], netns=names["tx"])
        ips.wait_for(lambda: _arrived(names["rx"]) > 1000, "packets at the second host", START_TIMEOUT_S)
        time.sleep(WARM_UP_S)
        before, out, window = _arrived(names["rx"]), sent.packets(), Window(children.pids(), kernel=True)
        time.sleep(bench.seconds)
        packets, out = _arrived(names["rx"]) - before, sent.packets() - out
        window.close()
        children.check()
        if packets <= 0:
            raise Failed("Suricata: nothing passes")
        detail = window.detail(packets)
        detail["sent_mpps"] = out / window.seconds / 1e6
        return Sample(packets / window.seconds / 1e6, detail)


def _group(_bench):
    rows = [Row(OURS, "Mpps", lambda b: _sample(b, "netmap", False), cpus=2),
            Row(SWITCHED, "Mpps", lambda b: _sample(b, "netmap", True), cpus=2),
            Row(PEER, "Mpps", lambda b: _sample(b, "af-packet", False), cpus=2)]
    return Group("ips", "Suricata as an IPS between two veths, 60 bytes, one processor for it", rows,
                 [Check(OURS, PEER, ">=", 1.5, "times AF_PACKET"), Check(SWITCHED, PEER, "", 0, "times AF_PACKET, by two switches")])


GROUPS = {"ips": _group}
