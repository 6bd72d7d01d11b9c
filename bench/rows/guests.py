# SPDX-License-Identifier: BSD-2-Clause
"""TCP between two emulated guests with virtio-net cards: on a VALE switch through vhost-user, and on a Linux bridge with taps. Both
pairs are booted once, by launch-qemu.sh; the pair that is not measured stands still."""
import contextlib
import os
import re
import signal
import sys

from harness.children import Failed, Skipped
from harness.measure import Check, Group, Row, Sample, Window
from harness.network import make_namespace, need_command, need_root

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PEER = "10.0.0.2"
SEGMENT_BYTES = 1448  # of data in a full Ethernet frame: what "packet" means here, however large the frames are that cross
VALE, BRIDGE = "VALE, vhost-user", "Linux bridge, 2 taps"
# Each call is a write to the card's notification register, which under hardware virtualization is an exit.
NOTIFY_PROBE = "p:notified vp_notify"
_TRACING = "/sys/kernel/tracing"


def guest_modules():
    for folder in ("tests/guest", "vm"):
        sys.path.insert(0, os.path.join(SOURCE, folder))
    from guestimage import image, packages, qemu
    from guestlib import module, processes, rig, traffic
    return image, packages, qemu, processes, rig, traffic, module


def guest_rig(bench, what, *kernel, also=lambda modules, cache: None):
    """A rig of guests with the newest QEMU there is, their image made; guest_modules(), and what `also` made of them. `what`: for
    which root is needed."""
    need_root(what)
    need_command("ip")
    os.environ["BUILD_DIR"] = os.path.abspath(bench.options.build_dir)
    modules = image, packages, qemu, _, rigs, _, _ = guest_modules()
    cache = rigs.guest_cache()
    try:
        image.make_image(cache, os.path.join(bench.options.build_dir, "bin"), *kernel)
        program, more = qemu.newer_qemu(cache), also(modules, cache)
    except packages.Unavailable as reason:
        raise Skipped(f"no guests: {reason}") from None
    return bench.undo.enter_context(rigs.Rig(program)), modules, more


class StoppedPairs:
    """Pairs of guests by name, which make(number, name) boots when one is first needed; those that nobody needs stand still."""

    def __init__(self, make):
        self._make, self._pairs = make, {}

    @contextlib.contextmanager
    def awake(self, name):
        if name not in self._pairs:
            pair = self._pairs[name] = self._make(len(self._pairs) + 1, name)
            pair.signal(signal.SIGSTOP)
        pair = self._pairs[name]
        pair.signal(signal.SIGCONT)
        try:
            yield pair
        finally:
            pair.signal(signal.SIGSTOP)

    def wake_all(self):
        """Before their end: one that stands still hears of no signal, and would be left behind."""
        for pair in self._pairs.values():
            with contextlib.suppress(OSError):  # one has ended already
                pair.signal(signal.SIGCONT)


@contextlib.contextmanager
def awake_pair(bench, kind, name):
    """A pair of bench's StoppedPairs of that kind, awake."""
    try:
        if kind not in bench.stopped_pairs:
            pairs = bench.stopped_pairs[kind] = kind(bench)
            bench.undo.callback(pairs.wake_all)
        with bench.stopped_pairs[kind].awake(name) as pair:
            yield pair
    except AssertionError as reason:
        raise Failed(str(reason)) from None


class Pair:
    """Two guests on one switch; counters of what they cost."""

    def __init__(self, rig, name, arguments, variables, prefix=()):
        self.rig, self.name, self.variables = rig, name, variables
        names = {f"{name}{number}": f"qemu {arguments} 0{number}" for number in (1, 2)}
        self.guests = rig.boot(names, {guest: variables for guest in names}, prefix=prefix)
        self.guests[1].run("netserver")
        for guest in self.guests:
            guest.run(f"mount -t tracefs tracefs {_TRACING}; echo '{NOTIFY_PROBE}' >{_TRACING}/kprobe_events && "
                      f"echo 1 >{_TRACING}/events/kprobes/notified/enable && echo 0 >{_TRACING}/tracing_on")
        self.guests[0].run(f"until ping -c1 -W1 {PEER} >/dev/null; do sleep 0.1; done")
        self.costs = {}

    def signal(self, number):
        for guest in self.guests:
            os.kill(guest.qemu_pid, number)

    def counts(self):
        """Interrupts of the cards, and notifications to them, in both guests so far."""
        interrupts = notified = 0
        for guest in self.guests:
            text = guest.run(f"grep virtio /proc/interrupts; cat {_TRACING}/kprobe_profile")
            interrupts += sum(int(found) for found in re.findall(r"^ *\d+: +(\d+) ", text, re.M))
            notified += sum(int(found) for found in re.findall(r"notified +(\d+) ", text))
        return interrupts, notified

    def pids(self):
        workers = re.findall(r'"plug":\{[^}]*"pid":(\d+)', self.rig.call("unetmap", "ports", "--json", check=False))
        return [guest.qemu_pid for guest in self.guests] + ([int(pid) for pid in workers] if "LINK" in self.variables else [])


class Pairs:
    def __init__(self, bench):
        rig, (*_, self.traffic, _), _ = guest_rig(bench, "the bridge")
        namespace = f"{bench.prefix}-guests"
        make_namespace(bench.undo, namespace)
        inside = ["ip", "netns", "exec", namespace]
        rig.call(*inside, os.path.join(SOURCE, "scripts/prep-taps.sh"))
        card = {"DEVICE": "virtio-net-pci"}
        self.pairs = {VALE: Pair(rig, "vale", "--vale", {**card, "LINK": "vhost-user"})}
        self.pairs[VALE].signal(signal.SIGSTOP)
        self.pairs[BRIDGE] = Pair(rig, "tap", "--tap", card, inside)
        self.pairs[BRIDGE].signal(signal.SIGSTOP)


def _pairs(bench):
    if not hasattr(bench, "guest_pairs"):
        try:
            bench.guest_pairs = Pairs(bench)
        except AssertionError as reason:
            raise Failed(str(reason)) from None
    return bench.guest_pairs


def _measured(bench, name, test, figure):
    pairs = _pairs(bench)
    pair = pairs.pairs[name]
    pair.signal(signal.SIGCONT)
    try:
        # Their clocks have stood still too: the first moments are theirs to settle.
        pair.guests[0].run(f"netperf -H{PEER} -l1 -t{test}")
        interrupts, notified = pair.counts()
        window = Window(pair.pids(), kernel=True)
        text = pair.guests[0].run(f"netperf -H{PEER} -l{max(1, round(bench.seconds))} -t{test}")
        window.close()
        costs = (now - then for now, then in zip(pair.counts(), (interrupts, notified)))
        return figure(pairs.traffic, text), window, *costs
    except AssertionError as reason:
        raise Failed(str(reason)) from None
    finally:
        pair.signal(signal.SIGSTOP)


def _stream(bench, name):
    speed, window, interrupts, notified = _measured(bench, name, "TCP_STREAM", lambda traffic, text: traffic.megabits_per_second(text))
    packets = speed * 1e6 / 8 * max(1, round(bench.seconds)) / SEGMENT_BYTES
    bench.guest_pairs.pairs[name].costs = {"interrupts": interrupts / packets, "notifications": notified / packets}
    return Sample(speed, window.detail(packets))


def _cost(bench, name, what):
    costs = _pairs(bench).pairs[name].costs
    if what not in costs:
        raise Failed("there was no stream to count in")
    return Sample(1000 * costs[what])


def _latency(bench, name):
    return Sample(_measured(bench, name, "TCP_RR", lambda traffic, text: traffic.transactions_per_second(text))[0])


def _group(_):
    rows, checks = [], []
    for title, unit, run in (("TCP", "Mbit/s", _stream), ("round trips", "1/s", _latency)):
        for name in (VALE, BRIDGE):
            rows.append(Row(f"{title}, {name}", unit, lambda b, run=run, name=name: run(b, name), cpus=2))
        checks.append(Check(f"{title}, {VALE}", f"{title}, {BRIDGE}", ">=" if run is _stream else "", 1.0, f"times {BRIDGE}: {title}"))
        if run is _stream:
            for what in ("interrupts", "notifications"):
                for name in (VALE, BRIDGE):
                    rows.append(Row(f"{what}, {name}", "/1000", lambda b, what=what, name=name: _cost(b, name, what)))
    return Group("guests", f"Two emulated guests with virtio-net, through a switch; a packet is {SEGMENT_BYTES} bytes of TCP", rows, checks,
                 seconds_scale=2.0)


GROUPS = {"guests": _group}
