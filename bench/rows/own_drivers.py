# SPDX-License-Identifier: BSD-2-Clause
"""Our own drivers (src/driver) at native speed, two of the bench's own programs (bench-driver) through a switch: on virtio-net by
vhost-user, held against DPDK's virtio-user through the same ports, on our e1000 by vfio-user, and on ports that are passed through, held
against an ordinary VALE pair. The switch's workers have one CPU to themselves, both drivers share the other one."""
from harness.measure import Check, Group, Row
from rows import card_driver, pktgen, vhost

VIRTIO, E1000, PARAVIRT, PASSED = ("driver, virtio-net by vhost-user", "driver, e1000 by vfio-user", "driver, e1000-paravirt by vfio-user",
                                   "passed through")
PASSED_PIPE = "pipe passed through at both ends"
PIPE = "pipe, one core"
PAIR_ONE, PAIR_TWO = "VALE pair, one core", "VALE pair, two cores"
KINDS = {VIRTIO: ("virtio-net", ("--vhost-user",)), E1000: ("e1000", ("--mitigation", "on", "--e1000")),
         PARAVIRT: ("e1000-paravirt", ("--paravirt", "--e1000")), PASSED: ("passthrough", ("--passthrough",)),
         PASSED_PIPE: ("passthrough", ("--passthrough",))}
# As the ordinary pair: a full receiver holds its sender; pipes do by themselves.
PLUGGED = {PASSED: {"lossless": True}, PASSED_PIPE: {"ports": ("0{1", "0}1")}}


def _sample(bench, name, length):
    kind, options = KINDS[name]
    return card_driver.drivers(bench, "driver", options, lambda path: (kind, path), length, **PLUGGED.get(name, {}))


def _group(bench, name, length):
    cpu = bench.cpus[0]
    rows = [Row(kind, "Mpps", lambda b, kind=kind: _sample(b, kind, length), cpus=2) for kind in KINDS]
    rows.append(Row(vhost.OURS, "Mpps", lambda b: vhost.vale(b, length), cpus=2))
    rows.append(Row(PAIR_ONE, "Mpps", lambda b: pktgen.pair(b, length, cpu, cpu, True)))
    rows.append(Row(PAIR_TWO, "Mpps", lambda b: pktgen.pair(b, length, *b.cpus, True), cpus=2))
    rows.append(Row(PIPE, "Mpps", lambda b: pktgen.pipe(b, length)))
    checks = [Check(VIRTIO, vhost.OURS, ">=", 1.3, "times virtio-user"), Check(E1000, vhost.OURS, ">=", 1.3, "times virtio-user"),
              Check(PARAVIRT, vhost.OURS, ">=", 1.3, "times virtio-user"), Check(PASSED, PAIR_ONE, ">=", 0.9, "of an ordinary pair on one core"),
              Check(PASSED, PAIR_TWO, "", 0, "of an ordinary pair on two cores"),
              Check(PASSED_PIPE, PIPE, ">=", 0.9, "of our pipe")]
    return Group(name, f"Our own drivers and passed-through ports in processes, {length} bytes", rows, checks)


GROUPS = {"driver": lambda bench: _group(bench, "driver", 60), "driver-large": lambda bench: _group(bench, "driver-large", vhost.LARGE)}
