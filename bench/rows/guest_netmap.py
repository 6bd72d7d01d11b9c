# SPDX-License-Identifier: BSD-2-Clause
"""netmap in emulated guests: 60-byte frames by pkt-gen from guest to guest and from guest to host, for each card and each way to its rings
(AF_PACKET, AF_XDP, our own driver), and for ports that are passed through; what a packet costs in exits and interrupts. Pairs of guests are
booted once; those that are not measured stand still."""
import json
import os
import re
import time

from harness.children import Failed
from harness.measure import Check, Group, Row, Sample
from rows.guests import StoppedPairs, awake_pair, guest_rig

KERNEL = "trixie"  # the rings of a bound AF_XDP socket can be mapped by others since Linux 6.4
VIRTIO, STREAM, PLAIN, PARAVIRT = "virtio-net", "QEMU's e1000", "our e1000", "e1000-paravirt"
CARDS = {
    VIRTIO: {"DEVICE": "virtio-net-pci", "LINK": "vhost-user"},
    STREAM: {"DEVICE": "e1000", "LINK": "stream"},
    PLAIN: {"DEVICE": "e1000", "LINK": "vfio-user", "MITIGATION": "on"},
    PARAVIRT: {"DEVICE": "e1000-paravirt", "LINK": "vfio-user", "MITIGATION": "on"},
}
PACKET, XDP, DRIVER, PASSED = "AF_PACKET", "AF_XDP", "driver", "passed through"
OPTIONS = {PACKET: "packet", XDP: "auto", DRIVER: "driver", PASSED: "auto"}
GUEST, HOST = "guest to guest", "guest to host"
WARM_UP_S = 1.5
NOBODYS = "02:00:00:00:00:99"  # the address of what no card filters


class Pair:
    """Two guests of one kind on a switch of their own, each with a port that is passed through besides."""

    def __init__(self, rig, number, card):
        self.rig, self.switch, self.mode = rig, f"valeg{number}", None
        names, variables = {}, {}
        for guest in (1, 2):
            name, path = f"netmap{number}{guest}", os.path.join(rig.folder, f"passed{number}{guest}")
            rig.call("unetmap", "plug", f"{self.switch}:p{guest}", "--passthrough", path)
            names[name] = f"qemu --vale 0{guest}"
            variables[name] = {**CARDS[card], "KERNEL": KERNEL, "SWITCH": self.switch,
                               "EXTRA": f"-chardev socket,id=passed,path={path} -device ivshmem-doorbell,chardev=passed"}
        self.guests = rig.boot(names, variables)
        self.macs = [guest.run("cat /sys/class/net/eth0/address").strip() for guest in self.guests]
        for guest in self.guests:
            guest.run("ip link set eth0 up")
        self.daemons = []

    def signal(self, number):
        for guest in self.guests:
            os.kill(guest.qemu_pid, number)

    def take(self, mode):
        """Daemons that bind interfaces so."""
        if mode == self.mode:
            return
        for daemon in self.daemons:
            daemon.interrupt()
        self.daemons = [guest.start(f"unetmapd --foreground --nic-mode {mode} --nic-buffers 4096") for guest in self.guests]
        for guest in self.guests:
            guest.run("until unetmap ports >/dev/null 2>&1; do sleep 0.1; done")
        self.mode = mode

    def status(self, guest, passed):
        port, = json.loads(self.rig.call("unetmap", "stats", f"{self.switch}:{'p' if passed else '0'}{guest}", "--json"))["ports"]
        return port["plug"].get("status", {})

    def costs(self, passed):
        """Exits for cards of ours so far, which the workers see, and the cards' interrupts; those of QEMU's own card are not counted."""
        exits = interrupts = 0
        for number, guest in enumerate(self.guests, 1):
            status = self.status(number, passed)
            exits += sum(status.get(name, 0) for name in ("doorbells", "kicks", "register_reads", "register_writes"))
            found = re.findall(r"^ *\d+: +(\d+) .*(?:eth0|virtio|e1000|uio|vfio)", guest.run("cat /proc/interrupts"), re.M)
            interrupts += sum(map(int, found)) + status.get("interrupts", 0) * passed
        return exits, interrupts


class Pairs(StoppedPairs):
    def __init__(self, bench):
        rig, *_ = guest_rig(bench, "a network namespace of the guests' own", KERNEL)
        super().__init__(lambda number, card: Pair(rig, number, card))


def _received(text, port):
    found, = [each for each in json.loads(text)["ports"] if each["name"] == port]
    return found["rx"]["packets"]


def _sample(bench, card, mode, way):
    """A sender as fast as it can, and what its receiver's rings count between two looks."""
    with awake_pair(bench, Pairs, card) as pair:
        pair.take(OPTIONS[mode])
        interface = "ptnet0" if mode == PASSED else "eth0"
        sink, address = f"{pair.switch}:sink", NOBODYS
        if way == GUEST:
            receiver = pair.guests[1].start(f"pkt-gen -i {interface} -f rx -w 1")
            look = lambda: _received(pair.guests[1].run(f"unetmap stats {interface} --json"), interface)
            behind = f"{pair.switch}:{'p' if mode == PASSED else '0'}2"
            if mode != PASSED:
                address = pair.macs[1]
            receiver.wait_line(r"waiting for initial packets|main_thread .* pps")
        else:
            receiver = pair.rig.start("pkt-gen", "-i", sink, "-f", "rx", "-w", "1")
            look = lambda: _received(pair.rig.call("unetmap", "stats", sink, "--json"), sink)
            behind = sink
            receiver.wait_line(r"waiting for initial packets|main_thread .* pps")
        # What is flooded reaches the guests' other cards, too, and their stacks are busy with it.
        pair.rig.call("unetmap", "fdb", pair.switch, "--pin", address, behind)
        sender = pair.guests[0].start(f"pkt-gen -i {interface} -f tx -l 60 -w 1 -D {address}")
        sender.wait_line(r"main_thread .*[1-9]\d*\.\d+ [KM]?pps", timeout_s=120)
        time.sleep(WARM_UP_S)
        exits, interrupts = pair.costs(mode == PASSED)
        packets, start = look(), time.monotonic()
        time.sleep(bench.seconds)
        packets, seconds = look() - packets, time.monotonic() - start
        later = pair.costs(mode == PASSED)
        sender.interrupt()
        (receiver.interrupt if way == GUEST else receiver.stop)()
        if packets <= 0:
            raise Failed("no packet arrived")
        costs = getattr(bench, "netmap_costs", {})
        costs[card, mode, way] = [(after - before) / packets for after, before in zip(later, (exits, interrupts))]
        bench.netmap_costs = costs
        return Sample(packets / seconds / 1000)


def _cost(bench, key, which):
    costs = getattr(bench, "netmap_costs", {})
    if key not in costs:
        raise Failed("nothing was sent")
    return Sample(costs[key][which])


def _group(_):
    rows, checks, costs = [], [], []
    for way in (GUEST, HOST):
        for card in CARDS:
            for mode in (PACKET, XDP, DRIVER, *([PASSED] if card == VIRTIO else [])):
                name = f"{way}, {card}, {mode}"
                rows.append(Row(name, "kpps", lambda b, key=(card, mode, way): _sample(b, *key), cpus=2))
                if card != STREAM:
                    costs.append(Row(f"exits, {name}", "/packet", lambda b, key=(card, mode, way): _cost(b, key, 0)))
                    costs.append(Row(f"interrupts, {name}", "/packet", lambda b, key=(card, mode, way): _cost(b, key, 1)))
            checks.append(Check(f"{way}, {card}, {DRIVER}", f"{way}, {card}, {XDP}", ">=", 5.0, f"times AF_XDP: {way}, {card}"))
        passed = f"{way}, {VIRTIO}, {PASSED}"
        checks.append(Check(passed, f"{way}, {VIRTIO}, {XDP}", ">=", 10.0, f"times AF_XDP: {way}, {PASSED}"))
        for what in ("exits", "interrupts"):
            checks.append(Check(f"{what}, {passed}", None, "<=", 0.005, f"{what} a packet, {way}, {PASSED}"))
    return Group("guest-netmap", "60-byte frames by pkt-gen in emulated guests", rows + costs, checks, seconds_scale=2.0)


GROUPS = {"guest-netmap": _group}
