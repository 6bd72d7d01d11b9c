# SPDX-License-Identifier: BSD-2-Clause
"""Two virtio drivers (DPDK's virtio-user) through a switch that serves them over vhost-user: VALE, OVS-DPDK, testpmd. The
switch has one CPU to itself, both drivers share the other one."""
import os
import shutil
import time
from contextlib import ExitStack

from harness import machine
from harness.children import Children, Skipped
from harness.measure import Check, Group, Row
from harness.network import (Counters, make_namespace, need_command, need_program, need_root, run, sample_pair)
from rows import dpdk

OURS, OVS, TESTPMD = "virtio-user, VALE", "virtio-user, OVS-DPDK", "virtio-user, testpmd"
FREE_OURS, FREE_OVS = "drivers that cost nothing, VALE", "drivers that cost nothing, OVS-DPDK"
DAEMON = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
SENDER_MAC, RECEIVER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
OVS_MIB = 512
OVS_ADDRESSES = 1_000_000  # that it can learn: its most; 2048 is what it has by itself
STATIONS = (100, 10_000, 100_000)
# What the drivers negotiate: for each switch what was fastest with it, of split and packed rings, with and without mergeable
# buffers and vectorized paths. OVS gained from packed rings at 1514 bytes alone.
DRIVER, OVS_DRIVER_LARGE = ",mrg_rxbuf=0", ",packed_vq=1"
LARGE = 1514
# OVS takes more than it is told, for the buffers of its ports.
HUGE_PAGES = (2 * dpdk.CLIENT_MIB + 3 * OVS_MIB) // dpdk.PAGE_MIB


def _environment(bench, undo, folder, part, mebibytes, lcores, vdevs):
    prefix = f"{bench.prefix}-{part}"
    undo.callback(shutil.rmtree, f"/var/run/dpdk/{prefix}", True)
    return ["--no-pci", f"--huge-dir={folder}", f"--file-prefix={prefix}", "-m", str(mebibytes), "--single-file-segments",
            "--log-level=4", *lcores, *(f"--vdev={vdev}" for vdev in vdevs)]


def _sample(bench, undo, children, folder, length, sockets, option, switch_pids=()):
    """Both drivers on the first CPU, sending and receiving."""
    client = need_program(bench, "dpdk-client")
    received, sent = Counters(bench, "received"), Counters(bench, "sent")

    def start(mode, counters, path, mac):
        device = f"net_virtio_user0,path={path},queues=1,queue_size=1024,mac={mac}{option}"
        environment = _environment(bench, undo, folder, mode, dpdk.CLIENT_MIB, ["-l", str(bench.cpus[0])], [device])
        return children.start([client, *environment, "--", mode, length, counters.path, dpdk.YIELD_EVERY],
                              own_session=False)

    receiver = start("rx", received, sockets[1], RECEIVER_MAC)
    time.sleep(2)  # its announcement is not repeated, and a switch may start a port only by and by
    start("tx", sent, sockets[0], SENDER_MAC)
    children.also(switch_pids)
    return sample_pair(bench, children, receiver, received, sent, switch_pids)


def _free_sample(bench, children, length, sockets, switch_pids, stations=0):
    """Both drivers in one thread on the first CPU: bench-vring-pair. `stations`: addresses behind the receiver, each frame for another
    one in random order; 0: one."""
    received, sent = Counters(bench, "received"), Counters(bench, "sent")
    pair = children.start([need_program(bench, "vring-pair"), *sockets, str(length), sent.path, received.path,
                           *([str(stations)] if stations else [])], cpu=bench.cpus[0])
    children.also(switch_pids)
    return sample_pair(bench, children, pair, received, sent, switch_pids)


def free_sockets(bench, name):
    """Two paths for sockets, with nothing of an earlier sample there."""
    sockets = [os.path.join(bench.folder, f"{name}{number}.sock") for number in range(2)]
    for path in sockets:
        if os.path.exists(path):
            os.unlink(path)
    return sockets


def _prepare(bench, length):
    need_root("DPDK")
    need_program(bench, "dpdk-client")
    folder = dpdk.huge_pages(bench, HUGE_PAGES)
    return folder, free_sockets(bench, "vhost")


def vale(bench, length):
    folder, sockets = _prepare(bench, length)
    with ExitStack() as undo:
        children = undo.enter_context(bench.netmap_children())
        pids = plug(bench, undo, sockets)
        return _sample(bench, undo, children, folder, length, sockets, DRIVER, pids)


def vale_free(bench, length, stations=0):
    sockets = free_sockets(bench, "free")
    with ExitStack() as undo:
        children = undo.enter_context(bench.netmap_children())
        return _free_sample(bench, children, length, sockets, plug(bench, undo, sockets), stations)


def plug(bench, undo, sockets, *kind, ports=("0", "1"), lossless=False):
    """Two ports of a switch as servers of a kind (vhost-user if none is named), served on the second CPU. The processes that do
    that."""
    name = f"vale{os.getpid()}"
    for port, path in zip(ports, sockets):
        port = f"{name}:{port}"
        bench.run_tool("unetmap", "plug", port, *(kind or ("--vhost-user",)), path)
        undo.callback(bench.run_tool, "unetmap", "unplug", port)
        if lossless:
            bench.run_tool("unetmap", "set", port, "lossless", "on")
    pids = machine.children(bench.daemon.pid)
    for pid in pids:
        os.sched_setaffinity(pid, {bench.cpus[1]})
    return pids


def testpmd(bench, length):
    program = need_command("dpdk-testpmd")
    folder, sockets = _prepare(bench, length)
    clients, forwarder = bench.cpus[0], bench.cpus[1]
    with ExitStack() as undo:
        children = undo.enter_context(Children())
        devices = [f"net_vhost{number},iface={path},queues=1" for number, path in enumerate(sockets)]
        environment = _environment(bench, undo, folder, "switch", dpdk.SWITCH_MIB,
                                   ["-l", f"{clients},{forwarder}", f"--main-lcore={clients}"], devices)
        switch = children.start([program, *environment, "--", "--forward-mode=io", "--nb-cores=1", "--total-num-mbufs=16384",
                                 "--rxd=1024", "--txd=1024", "--no-flush-rx", "--no-lsc-interrupt", "--burst=64"],
                                interactive=True)
        switch.wait_for_line(dpdk.READY_LINE, 30)
        return _sample(bench, undo, children, folder, length, sockets, DRIVER)


class OpenVswitch:
    """A bridge of OVS-DPDK (netdev datapath, action NORMAL) with two ports, its polling thread on the second CPU; in a
    network namespace and a folder of its own, and gone with them. Its ports connect to `sockets`; without them it listens at
    sockets of its own."""

    def __init__(self, bench, undo, children, folder, sockets=None):
        for program in (DAEMON, SCHEMA):
            if not os.path.exists(program):
                raise Skipped(f"{program} is missing: apt install openvswitch-switch-dpdk, or ./dev bench --install")
        self.folder = os.path.join(bench.folder, "ovs")
        shutil.rmtree(self.folder, True)
        os.makedirs(self.folder)
        # Nothing in the system's own folders; this process' children alone see it.
        children.environment({name: self.folder for name in ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")})
        namespace = f"{bench.prefix}-ovs"
        make_namespace(undo, namespace)
        database, self.control = os.path.join(self.folder, "db.sock"), os.path.join(self.folder, "ctl")
        self.database = f"unix:{database}"
        run(["ovsdb-tool", "create", f"{self.folder}/conf.db", SCHEMA])
        server = children.start(["ovsdb-server", f"{self.folder}/conf.db", f"--remote=punix:{database}", "--no-chdir",
                                 f"--unixctl={self.folder}/db.ctl"])
        server.wait_for(lambda: os.path.exists(database), "its socket")
        self.vsctl("--no-wait", "init")
        self.vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
                   f"other_config:dpdk-socket-mem={OVS_MIB}", f"other_config:dpdk-lcore-mask={hex(1 << bench.cpus[0])}",
                   f"other_config:pmd-cpu-mask={hex(1 << bench.cpus[1])}",
                   f"other_config:dpdk-extra=--huge-dir={folder} --no-pci --file-prefix={bench.prefix}-ovs")
        undo.callback(shutil.rmtree, f"/var/run/dpdk/{bench.prefix}-ovs", True)
        self.switch = children.start([DAEMON, self.database, f"--unixctl={self.control}", "--no-chdir"], netns=namespace)
        self.switch.wait_for(lambda: os.path.exists(self.control), "its control socket", 30)
        self.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
        self.sockets = sockets or [os.path.join(self.folder, f"vh{number}") for number in range(2)]
        for number, path in enumerate(self.sockets):
            kind = ["type=dpdkvhostuserclient", f"options:vhost-server-path={path}"] if sockets else ["type=dpdkvhostuser"]
            self.vsctl("add-port", "br0", f"vh{number}", "--", "set", "Interface", f"vh{number}", *kind)

    def vsctl(self, *words):
        run(["ovs-vsctl", f"--db={self.database}", "--timeout=20", *words])


def ovs(bench, length):
    need_command("ovs-vsctl")
    folder, sockets = _prepare(bench, length)
    with ExitStack() as undo:
        children = undo.enter_context(Children())
        vswitch = OpenVswitch(bench, undo, children, folder, sockets)
        return _sample(bench, undo, children, folder, length, sockets,
                       ",server=1" + (OVS_DRIVER_LARGE if length == LARGE else DRIVER), [vswitch.switch.pid])


def ovs_free(bench, length, stations=0):
    need_command("ovs-vsctl")
    folder, _ = _prepare(bench, length)
    with ExitStack() as undo:
        children = undo.enter_context(Children())
        vswitch = OpenVswitch(bench, undo, children, folder)
        vswitch.vsctl("set", "bridge", "br0", f"other_config:mac-table-size={OVS_ADDRESSES}")
        return _free_sample(bench, children, length, vswitch.sockets, [vswitch.switch.pid], stations)


def _group(name, length, target):
    rows = [Row(OURS, "Mpps", lambda b: vale(b, length), cpus=2), Row(OVS, "Mpps", lambda b: ovs(b, length), cpus=2),
            Row(TESTPMD, "Mpps", lambda b: testpmd(b, length), cpus=2),
            Row(FREE_OURS, "Mpps", lambda b: vale_free(b, length), cpus=2), Row(FREE_OVS, "Mpps", lambda b: ovs_free(b, length), cpus=2)]
    checks = [Check(OURS, OVS, ">=", target, "times OVS-DPDK"), Check(OURS, TESTPMD, "", 0, "times testpmd's vhost"),
              Check(FREE_OURS, FREE_OVS, ">=", 2.5, "times OVS-DPDK, where drivers cost nothing"),
              Check(OURS, OVS, "<=", 0.4, "of OVS-DPDK's own processor time a packet", "switch_cpu_ns"),
              Check(FREE_OURS, FREE_OVS, "<=", 0.4, "of OVS-DPDK's own processor time a packet, where drivers cost nothing",
                    "switch_cpu_ns")]
    return Group(name, f"Virtual machines: virtio-user to virtio-user over vhost-user, {length} bytes", rows, checks)


def stations(_bench):
    """The many addresses of the group `stations` behind one port, through VALE and OVS-DPDK."""
    ours = {count: f"{count} addresses, VALE" for count in STATIONS}
    theirs = {count: f"{count} addresses, OVS-DPDK" for count in STATIONS}
    rows = [row for count in STATIONS for row in (
        Row(ours[count], "Mpps", lambda b, count=count: vale_free(b, 60, count), cpus=2),
        Row(theirs[count], "Mpps", lambda b, count=count: ovs_free(b, 60, count), cpus=2))]
    return Group("stations-vhost", "Stations in random order, drivers that cost next to nothing, 60 bytes", rows,
                 [Check(ours[count], theirs[count], ">=", 3.0, f"times OVS-DPDK, {count} addresses") for count in STATIONS])


GROUPS = {"stations-vhost": stations, "vhost": lambda bench: _group("vhost", 60, 2.0), "vhost-large": lambda bench: _group("vhost-large", LARGE, 1.5)}
