# SPDX-License-Identifier: BSD-2-Clause
"""The experiments of the text in a booted image, each with the commands that are printed there. The machine has two e1000."""
import re

from imagelib.machine import Failed


def _need(pattern, text, what):
    found = re.search(pattern, text, re.M)
    if not found:
        raise Failed(f"{what}: nothing like '{pattern}' in:\n{text}")
    return found


def row(text):
    """The last line of numbers in a table of netperf, which ends with the result. TCP_RR has a line of two sizes after it."""
    lines = [line.split() for line in text.splitlines() if re.fullmatch(r"[\d.\s]+", line)]
    lines = [[float(word) for word in line] for line in lines if len(line) > 2]
    if not lines or lines[-1][-1] <= 0:
        raise Failed(f"netperf reports nothing:\n{text}")
    return lines[-1]


def netperf(machine):
    machine.run("netserver -4")
    numbers = {}
    for name, command in (("TCP_STREAM Mbit/s", "netperf -H 127.0.0.1 -tTCP_STREAM"), ("TCP_RR a second", "netperf -H 127.0.0.1 -tTCP_RR"),
                          ("UDP_STREAM -m8 Mbit/s", "netperf -H 127.0.0.1 -tUDP_STREAM -- -m8")):
        numbers[name] = row(machine.run(command, 180))[-1]
    machine.run("pkill netserver")
    return numbers


def taps(machine):
    """prep-taps.sh and unprep-taps.sh, twice each."""
    for _ in range(2):
        machine.run("sudo ./prep-taps.sh")
    text = machine.run("ip -o link show; ip -o -4 addr show")
    for pattern in (r"tap01:.* master br0 ", r"tap02:.* master br0 ", r"br0 +inet 10\.0\.0\.200/24"):
        _need(pattern, text, "prep-taps.sh")
    for _ in range(2):
        machine.run("sudo ./unprep-taps.sh")
    if re.search(r"tap01|tap02|br0", machine.run("ip -o link show")):
        raise Failed("unprep-taps.sh leaves something behind")


def raw(machine):
    """l2recv on a raw socket of a bridge's tap, l2-send.sh into the tap: the tap's descriptor sends to the machine's own stack."""
    machine.run("sudo ./prep-taps.sh")
    machine.background("sudo l2open -r br0 l2recv", "/tmp/raw")
    machine.await_file("/tmp/raw", "waiting for packets")
    machine.run("sudo env IFNAME=tap01 MODE=tap COUNT=2000 RATE=1K ./l2-send.sh", 180)
    machine.run("wait $(cat /tmp/raw.pid)", 120)
    received = int(_need(r"Received (\d+) packets", machine.run("cat /tmp/raw"), "l2recv")[1])
    if received < 1900:
        raise Failed(f"l2recv counts {received} of 2000")
    machine.background("sudo l2open -t tap02 l2recv", "/tmp/tap")
    machine.await_file("/tmp/tap", "waiting for packets")
    machine.run("sudo env IFNAME=br0 COUNT=2000 RATE=1K ./l2-send.sh", 180)
    machine.run("wait $(cat /tmp/tap.pid)", 120)
    _need(r"Received [1-9]\d* packets", machine.run("cat /tmp/tap"), "l2recv on a tap")
    machine.run("sudo ./unprep-taps.sh")
    return {"l2recv of 2000": received}


def kernel_pktgen(machine):
    """linux-pktgen.sh, with the kernel's own generator."""
    text = machine.run("sudo env IFNAME=eth1 COUNT=20000 ./linux-pktgen.sh 0", 300)
    total = int(_need(r"^Total: (\d+) pps", text, "linux-pktgen.sh")[1])
    sent = int(machine.run("cat /sys/class/net/eth1/statistics/tx_packets"))
    if total <= 0 or sent < 20000:
        raise Failed(f"linux-pktgen.sh says {total} pps, eth1 has sent {sent}")
    # Ten million packets would take minutes: Ctrl-C says what was sent.
    before = int(machine.run("cat /sys/class/net/eth0/statistics/tx_packets"))
    machine.background("sudo ./linux-pktgen.sh 0", "/tmp/pktgen")
    machine.run(f"for i in $(seq 120); do [ $(cat /sys/class/net/eth0/statistics/tx_packets) -gt {before + 1000} ] && break; sleep 0.5; done", 180)
    early = machine.interrupt("/tmp/pktgen")
    _need(r"^Total: [1-9]\d* pps", early, "linux-pktgen.sh, ended early")
    return {"linux-pktgen.sh pps": total}


def interfaces(machine):
    """pkt-gen on an interface, which is the kernel's again afterwards."""
    machine.background("sudo pkt-gen -i eth1 -f tx -w 1", "/tmp/tx")
    machine.await_file("/tmp/tx", "main_thread .* [1-9][0-9.]* ([KM])?pps")
    text = machine.interrupt("/tmp/tx")
    sent = int(_need(r"^Sent (\d+) packets", text, "pkt-gen -i eth1 -f tx")[1])
    machine.background("sudo pkt-gen -i eth1 -f rx -w 1", "/tmp/rx")
    machine.await_file("/tmp/rx", "waiting for initial packets|main_thread")
    text = machine.interrupt("/tmp/rx")
    _need(r"^Received ", text, "pkt-gen -i eth1 -f rx")
    machine.run("for i in $(seq 60); do ip link show eth1 | grep -q ' xdp' || break; sleep 0.5; done; ! ip link show eth1 | grep ' xdp'", 120)
    return {"pkt-gen -i eth1 packets": sent}


def vale(machine):
    """Three terminals: two senders and a receiver on vale0."""
    machine.background("pkt-gen -ivale0:02 -frx", "/tmp/v2")
    machine.await_file("/tmp/v2", "waiting for initial packets|main_thread")
    machine.background("pkt-gen -ivale0:01 -ftx", "/tmp/v1")
    machine.background("pkt-gen -ivale0:03 -ftx", "/tmp/v3")
    machine.await_file("/tmp/v2", "main_thread .* [1-9][0-9.]* ([KM])?pps")
    _need(r"vale0:02", machine.run("unetmap ports"), "unetmap ports")
    numbers = {}
    for log, word in (("/tmp/v1", "Sent"), ("/tmp/v3", "Sent"), ("/tmp/v2", "Received")):
        text = machine.interrupt(log)
        numbers[f"vale {word} {log[-1]}"] = int(_need(rf"^{word} (\d+) packets", text, log)[1])
        speed = re.search(r"^Speed: (.*?pps)", text, re.M)
        if speed:
            numbers[f"vale speed {log[-1]}"] = speed[1]
    if min(value for value in numbers.values() if isinstance(value, int)) <= 0:
        raise Failed(f"a switch without packets: {numbers}")
    return numbers


def attach(machine):
    """vale-ctl -h and -d, with an address that goes on answering."""
    gateway = machine.run("ip -4 route show default dev eth0 | sed -n 's/.*via \\([0-9.]*\\).*/\\1/p'").strip()
    machine.run("sudo vale-ctl -h vale0:eth0", 180)
    _need(r"vale0:eth0", machine.run("sudo unetmap ports"), "vale-ctl -h")
    # The gateway of QEMU's user networking answers pings of its own address itself.
    machine.run(f"for i in $(seq 30); do ping -c1 -W2 {gateway} && break; done", 180)
    machine.run("sudo pkt-gen -ivale0:01 -ftx -n 1000 -R 2000", 180)
    machine.run("sudo vale-ctl -d vale0:eth0", 180)
    machine.run(f"for i in $(seq 30); do ping -c1 -W2 {gateway} && break; done", 180)


def scripts(machine):
    """launch-qemu.sh's command lines for all backends, and what is said without KVM."""
    machine.run("sudo ./prep-taps.sh")
    for words in ("qemu --tap 01", "qemu --vale 01", "qemu --netuser"):
        text = machine.run(f"sudo ./launch-qemu.sh {words} --dry-run", 180)
        _need(r"/guest/vmlinuz", text, "launch-qemu.sh")
    _need(r"vfio-user-pci", machine.run("sudo ./launch-qemu.sh qemu --vale 01 --dry-run", 180), "QEMU's version")
    _need(r"no (usable )?KVM", machine.run("./launch-qemu.sh kvm --netuser", 180, check=False), "launch-qemu.sh kvm")
    machine.run("sudo ./unprep-taps.sh")


ALL = (vale, netperf, taps, raw, kernel_pktgen, interfaces, attach, scripts)
