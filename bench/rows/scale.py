# SPDX-License-Identifier: BSD-2-Clause
"""Groups that ask what ports cost: many open beside a pair, broadcasts, idle receivers, memory."""
import os
import re
import time

from harness import machine
from harness.children import Children, Failed
from harness.measure import Check, Group, Row, Sample
from rows import pktgen

MANY_PORTS = 1000
MEMORY_PORTS = 1000
STATIONS = (1, 100, 10_000, 100_000, 1_000_000)
FANOUTS = (1, 8, 64, 256)
SETTLE_TIMEOUT_S = 10
OPEN_TIMEOUT_S = 60


def open_ports(bench, children, switch, count, *options):
    ports = children.start([bench.program("open-ports"), *options, switch, count], interactive=True)
    ports.wait_for_line(f"ready {count}", OPEN_TIMEOUT_S)
    return ports


def _pair_beside_ports(bench, count):
    cpu = bench.cpus[0]
    with bench.netmap_children() as children:
        if count:
            open_ports(bench, children, "vale0", count)
        return pktgen.pair(bench, 60, cpu, cpu, lossless=True)


def many_ports(bench):
    rows = [Row("pair alone", "Mpps", lambda b: _pair_beside_ports(b, 0)),
            Row(f"beside {MANY_PORTS} ports", "Mpps", lambda b: _pair_beside_ports(b, MANY_PORTS))]
    # A packet may cost 15 % more: the rate alone over the rate beside the others.
    return Group("ports", f"VALE unicast, 60 bytes, one core, {MANY_PORTS} other ports on the switch", rows,
                 [Check("pair alone", f"beside {MANY_PORTS} ports", "<=", 1.15, "times the cost of a packet alone")])


def _fields(bench, program, count, moved, length=60):
    """What bench-PROGRAM printed of `count` ports or addresses, where the field `moved` is not 0."""
    with bench.netmap_children() as children:
        run = children.start([bench.program(program), "vale0", count, length, bench.seconds], cpu=bench.cpus[0])
        fields = dict(re.findall(r"(\w+)=([\d.]+)", run.finish(bench.seconds + OPEN_TIMEOUT_S)))
    if not float(fields.get(moved, 0)):
        raise Failed(f"bench-{program} with {count} {moved} nothing: {fields}")
    return fields


def _fanout(bench, count):
    fields = _fields(bench, "fanout", count, "delivered")
    return Sample(float(fields["send_ns"]), {"loop_ns": float(fields["loop_ns"]),
                                             "loss_percent": float(fields["lost_percent"])})


def _fanout_floor(bench, count):
    with Children() as children:
        run = children.start([bench.program("fanout-floor"), count, 60, bench.seconds], cpu=bench.cpus[0])
        fields = dict(re.findall(r"(\w+)=([\d.]+)", run.finish(bench.seconds + OPEN_TIMEOUT_S)))
    return Sample(float(fields["copy_ns"]))


def broadcast(bench):
    """The switch's rows, and what plain copies to as much memory cost: with many ports no cache holds it any more."""
    name = {count: f"to {count} port{'s'[:count > 1]}" for count in FANOUTS}
    floor = {count: f"plain copies, {count}" for count in FANOUTS}
    rows = [row for count in FANOUTS for row in (
        Row(name[count], "ns", lambda b, count=count: _fanout(b, count)),
        Row(floor[count], "ns", lambda b, count=count: _fanout_floor(b, count)))]
    last, first = FANOUTS[-1], FANOUTS[0]
    checks = [Check(name[last], name[first], "<=", 1.0, f"times a copy's cost in a broadcast {name[first]}")]
    checks += [Check(name[count], floor[count], "", 0, f"times plain copies, {name[count]}") for count in FANOUTS]
    return Group("broadcast", "Broadcast, 60 bytes, sender's cost for each packet delivered", rows, checks, 0.5)


def _stations(bench, count):
    fields = _fields(bench, "stations", count, "sent")
    return Sample(float(fields["sync_ns"]), {"copies": float(fields["copies"])})


def stations(bench):
    """The switch's own time, both sides: a rate with few addresses over that with many is what they cost."""
    rows = [Row(f"{count} address{'es'[:2 * (count > 1)]}", "ns", lambda b, count=count: _stations(b, count))
            for count in STATIONS]
    wanted = {100: 0.85, 10_000: 0.75, 100_000: 0.6}
    checks = [Check(rows[STATIONS.index(count)].name, rows[0].name, "<=", round(1 / ratio, 2), "times the cost of one flow")
              for count, ratio in wanted.items()]
    checks.append(Check(rows[-1].name, rows[0].name, "", 0, "times the cost of one flow, more than the table holds"))
    return Group("stations", "Stations in random order behind 8 ports, 60 bytes, cost of a packet on both sides", rows, checks, 0.5)


def _exchanged(bench, length, exchange):
    for port in ("from", "to0") if exchange else ():
        bench.run_tool("unetmap", "set", f"vale0:{port}", "zero_copy", "on")
    fields = _fields(bench, "stations", 1, "sent", length)
    return Sample(float(fields["sync_ns"]), {"copies": float(fields["copies"])})


def zero_copy(bench):
    """One station; the sender writes the addresses of each frame, whatever buffer it is in."""
    rows = [Row(f"{what}, {length} bytes", "ns", lambda b, length=length, exchange=exchange: _exchanged(b, length, exchange))
            for length in (1514, 9000) for what, exchange in (("copied", False), ("exchanged", True))]
    checks = [Check(rows[at].name, rows[at + 1].name, ">=", target, f"times the exchange's cost, {length} bytes")
              for at, length, target in ((0, 1514, 2.5), (2, 9000, 8.0))]
    return Group("zero-copy", "Two ports that exchange buffers, cost of a frame on both sides", rows, checks)


def senders(bench):
    near, far = bench.cpus
    rows = [Row(name, "Mpps", lambda b, count=count, cpus=cpus: pktgen.many_to_one(b, 60, count, cpus), cpus=2)
            for name, count, cpus in (("1 sender", 1, [far]), ("8 senders", 8, [far, near]), ("8 senders, other CPU", 8, [far]))]
    return Group("senders", "Senders to one lossless port, 60 bytes, half of them on each CPU, or all on the other", rows,
                 [Check(row.name, rows[0].name, ">=", 0.9, "of one sender's rate") for row in rows[1:]])


def _idle(bench):
    """Wake-ups a second of two receivers asleep in poll() and the daemon."""
    with bench.netmap_children() as children:
        watched = [open_ports(bench, children, f"vale{number}", 1, "--poll").pid for number in range(2)]
        watched.append(bench.daemon.pid)

        def snapshot():
            return sum(map(machine.wake_ups, watched)), sum(map(machine.cpu_ns, watched))

        # What opening still has to finish is no idling: wait for half a second without a wake-up, but not for ever.
        deadline, before = time.monotonic() + SETTLE_TIMEOUT_S, None
        while before != (now := snapshot()) and time.monotonic() < deadline:
            before = now
            time.sleep(0.5)
        wakes, cpu = snapshot()
        start = time.monotonic()
        time.sleep(max(2.0, bench.seconds))
        end_wakes, end_cpu = snapshot()
        seconds = time.monotonic() - start
        children.check()
    return Sample((end_wakes - wakes) / seconds, {"cpu_us_per_second": (end_cpu - cpu) / 1e3 / seconds})


def idle(bench):
    rows = [Row("2 receivers + unetmapd", "/s", _idle)]
    return Group("idle", "Wake-ups a second while nothing happens", rows,
                 [Check(rows[0].name, None, "<=", 0.0, "wake-ups a second")])


def _shared_memory_kib(pids):
    """KiB that the memory files of these processes really hold, each file once, open or only mapped."""
    files = {}
    for pid in pids:
        for folder in (f"/proc/{pid}/fd", f"/proc/{pid}/map_files"):
            try:
                entries = os.listdir(folder)
            except OSError:
                continue
            for entry in entries:
                path = f"{folder}/{entry}"
                try:
                    if not os.readlink(path).startswith("/memfd:"):
                        continue
                    status = os.stat(path)
                except OSError:
                    continue
                files[(status.st_dev, status.st_ino)] = status.st_blocks * 512 // 1024
    return sum(files.values())


def _private_kib(pid):
    found = re.search(r"RssAnon:\s+(\d+) kB", machine.read(f"/proc/{pid}/status"))
    return int(found[1]) if found else 0


def _memory(bench):
    """The ports are opened one by one by one process; what that process needs for one port is taken off."""
    with bench.netmap_children() as children:
        open_ports(bench, children, "vale1", 1)
        daemon = bench.daemon.pid

        def holder_totals(count):
            with bench.netmap_children() as inner:
                holder = open_ports(bench, inner, "vale0", count)
                shared = _shared_memory_kib([daemon, holder.pid])
                return shared, _private_kib(daemon), _private_kib(holder.pid)

        few, many = holder_totals(1), holder_totals(1 + MEMORY_PORTS)
    if not few[0]:
        raise Failed("no memory file (memfd) found in the daemon or its client; nothing measured")
    shared, in_daemon, in_client = ((after - before) / MEMORY_PORTS for before, after in zip(few, many))
    return Sample(shared + in_daemon, {"shared_kib": shared, "daemon_kib": in_daemon, "client_kib": in_client})


def memory(bench):
    rows = [Row(f"{MEMORY_PORTS} unused ports", "KiB", _memory)]
    return Group("memory", "Resident memory for each port that never moved a packet", rows,
                 [Check(rows[0].name, None, "<=", 64.0, "KiB a port")])


GROUPS = {"stations": stations, "zero-copy": zero_copy, "senders": senders, "ports": many_ports, "broadcast": broadcast, "idle": idle, "memory": memory}
