# SPDX-License-Identifier: BSD-2-Clause
"""A network for a booted image: a switch of this project outside of it, dnsmasq on an interface that is attached to the switch, and a
port for the machine's card."""
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "../../guest"))
from guestlib import rig as guests  # noqa: E402

HOST = "192.168.77.1"
FIRST, LAST = "192.168.77.100", "192.168.77.110"
NAME = "lan.test"


def why_not():
    """What is missing for it on this machine, or nothing."""
    if os.geteuid() != 0:
        return "needs root: a network namespace, and an interface on a switch"
    if not shutil.which("dnsmasq", path=f"{os.environ['PATH']}:/usr/sbin:/sbin"):
        return "dnsmasq is missing: install dnsmasq-base"
    if not os.access(os.path.join(guests.build_folder(), "bin/unetmapd"), os.X_OK):
        return f"unetmapd is not built in {guests.build_folder()}; say another folder in BUILD_DIR"
    return None


class Lan:
    """A context with a port of the switch for each machine's card (`network` of the first, `networks` of all). This process is in a network
    of its own from the first one on (guestlib's own_network), without anything else's."""

    _entered = False

    def __init__(self, machines=1):
        self._ports = [f"card{number}" for number in range(1, machines + 1)]

    def __enter__(self):
        if not Lan._entered:
            guests.own_network()
            Lan._entered = True
        self.rig = guests.Rig()
        try:
            self.rig.call("vale-ctl", "-n", "vi0")
            self.rig.call("vale-ctl", "-a", "vale0:vi0")
            self.rig.call("ip", "address", "add", f"{HOST}/24", "dev", "vi0")
            self.rig.call("ip", "link", "set", "vi0", "up")
            self.networks = [self._plug(port, number) for number, port in enumerate(self._ports, 1)]
            self.network = self.networks[0]
            self.server = self.rig.start("dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--interface=vi0",
                                         "--bind-interfaces", f"--dhcp-range={FIRST},{LAST},1h", f"--domain={NAME}", "--user=root",
                                         "--log-dhcp", "--log-facility=-", f"--dhcp-leasefile={self.rig.folder}/leases")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _plug(self, port, number):
        socket = os.path.join(self.rig.folder, port)
        self.rig.call("unetmap", "plug", f"vale0:{port}", "--stream", socket)
        return ("-netdev", f"stream,id=net0,server=off,addr.type=unix,addr.path={socket}",
                "-device", f"e1000,netdev=net0,mac=52:54:00:00:04:{number:02x}")

    def __exit__(self, *_):
        for command in (*(("unetmap", "unplug", f"vale0:{port}") for port in self._ports), ("vale-ctl", "-d", "vale0:vi0"), ("vale-ctl", "-r", "vi0")):
            self.rig.call(*command, check=False)
        self.rig.__exit__()

    def leased(self, address):
        """dnsmasq's line about the address that it gave."""
        return self.server.wait_line(rf"DHCPACK\(vi0\) {address} ", 10)[0]
