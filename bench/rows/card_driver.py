# SPDX-License-Identifier: BSD-2-Clause
"""Our e1000 at native speed: two drivers of the bench's own (bench-card) through a switch that serves them over vfio-user, beside two
virtio drivers (DPDK's virtio-user) over vhost-user. The switch has one CPU to itself, both drivers share the other one."""
from contextlib import ExitStack

from harness.measure import Check, Group, Row
from harness.network import Counters, need_program, sample_pair
from rows import vhost

PLAIN, PARAVIRT = "e1000, vfio-user", "e1000-paravirt, vfio-user"
OPTIONS = {PLAIN: ("plain", ("--mitigation", "on", "--e1000")), PARAVIRT: ("paravirt", ("--paravirt", "--e1000"))}


def drivers(bench, program, options, arguments, length, **plugged):
    """Two of the bench's own drivers (bench-PROGRAM tx|rx ARGUMENTS) on ports that are plugged with `options`."""
    client = need_program(bench, program)
    sockets = vhost.free_sockets(bench, program)
    with ExitStack() as undo:
        children = undo.enter_context(bench.netmap_children())
        pids = vhost.plug(bench, undo, sockets, *options, **plugged)
        received, sent = Counters(bench, "received"), Counters(bench, "sent")
        start = lambda way, path, counters: children.start([client, way, *arguments(path), str(length), counters.path],
                                                           cpu=bench.cpus[0], own_session=False)
        receiver = start("rx", sockets[1], received)
        start("tx", sockets[0], sent)
        children.also(pids)
        return sample_pair(bench, children, receiver, received, sent)


def _sample(bench, name, length):
    mode, options = OPTIONS[name]
    return drivers(bench, "card", options, lambda path: (path, mode), length)


def _group(name, length):
    rows = [Row(card, "Mpps", lambda b, card=card: _sample(b, card, length), cpus=2) for card in OPTIONS]
    rows.append(Row(vhost.OURS, "Mpps", lambda b: vhost.vale(b, length), cpus=2))
    checks = [Check(PLAIN, vhost.OURS, ">=", 0.5, "times virtio-user"), Check(PARAVIRT, vhost.OURS, ">=", 1.0, "times virtio-user")]
    return Group(name, f"Drivers of cards in processes, {length} bytes", rows, checks)


GROUPS = {"card": lambda bench: _group("card", 60), "card-large": lambda bench: _group("card-large", vhost.LARGE)}
