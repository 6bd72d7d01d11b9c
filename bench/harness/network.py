# SPDX-License-Identifier: BSD-2-Clause
"""What the peers' rows share: requirements, namespaces and bridges that go again, counters of the small clients."""
import mmap
import os
import shutil
import struct
import subprocess
import time

from harness.children import Failed, Skipped
from harness.measure import Sample, Window

PACKAGES = {"ip": "iproute2", "trafgen": "netsniff-ng", "vde_switch": "vde2", "dpdk-testpmd": "dpdk-dev", "vde-client": "libvdeplug-dev",
            "dpdk-client": "libdpdk-dev dpdk-dev", "iperf3": "iperf3",
            "ovs-vsctl": "openvswitch-switch-dpdk"}
START_TIMEOUT_S = 20
FLOWING_PACKETS = 1000
WARM_UP_S = 0.5


def need_root(what):
    if os.geteuid() != 0:
        raise Skipped(f"{what}: needs root; run ./dev bench as root")


def need_command(name):
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if not found:
        raise Skipped(f"{name} is missing: apt install {PACKAGES[name]}, or ./dev bench --install")
    return found


def need_program(bench, name):
    path = bench.program(name)
    if not os.path.exists(path):
        raise Skipped(f"bench-{name} is not built: apt install {PACKAGES[name]} and ./dev build, or ./dev bench --install")
    return path


def run(command, check=True):
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip() or 'failed'}")
    return done.stdout


def make_namespace(undo, name):
    """A network namespace that `undo` removes, with all devices in it."""
    run(["ip", "netns", "add", name])
    undo.callback(run, ["ip", "netns", "del", name], False)
    # Keeps neighbour discovery and router solicitations from among the measured frames.
    for scope in ("all", "default"):
        run(["ip", "netns", "exec", name, "sysctl", "-qw", f"net.ipv6.conf.{scope}.disable_ipv6=1"], check=False)


def make_bridge(namespace):
    """A bridge at its fastest: no spanning tree, no multicast snooping, no netfilter hooks where those are loaded."""
    for table in ("iptables", "ip6tables", "arptables"):
        run(["ip", "netns", "exec", namespace, "sysctl", "-qw", f"net.bridge.bridge-nf-call-{table}=0"], check=False)
    run(["ip", "-n", namespace, "link", "add", "name", "br0", "type", "bridge", "stp_state", "0", "mcast_snooping", "0"])
    run(["ip", "-n", namespace, "link", "set", "br0", "up"])


class Counters:
    """The two counters that a peer's client keeps in a file: packets and bytes."""

    def __init__(self, bench, name):
        self.path = os.path.join(bench.folder, name)
        with open(self.path, "w+b") as file:
            file.truncate(mmap.PAGESIZE)
            self._map = mmap.mmap(file.fileno(), mmap.PAGESIZE)

    def packets(self):
        return struct.unpack_from("=Q", self._map)[0]


def sample_pair(bench, children, receiver, received, sent, switch=()):
    """Delivered Mpps of a pair of clients once packets flow, with the CPU time of all programs and of the kernel's threads; `switch`:
    which of them are the switch, whose time is told apart."""
    receiver.wait_for(lambda: received.packets() > FLOWING_PACKETS, "packets from the sender", START_TIMEOUT_S)
    time.sleep(WARM_UP_S)
    packets, out = received.packets(), sent.packets()
    window, of_switch = Window(children.pids(), kernel=True), Window(switch)
    time.sleep(bench.seconds)
    packets, out = received.packets() - packets, sent.packets() - out
    window.close()
    of_switch.close()
    children.check()
    detail = window.detail(packets)
    if switch and packets:
        detail["switch_cpu_ns"] = of_switch.cpu_ns / packets
    detail["sent_mpps"] = out / window.seconds / 1e6
    detail["loss_percent"] = max(0.0, 100 * (1 - packets / out)) if out else 0.0
    return Sample(packets / window.seconds / 1e6, detail)
