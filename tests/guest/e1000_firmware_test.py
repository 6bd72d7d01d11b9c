# SPDX-License-Identifier: BSD-2-Clause
"""Firmware whose drivers of the e1000 are its own, with a card of ours: iPXE's option ROM boots over a VALE switch from dnsmasq on
an interface of the host's, and U-Boot pings that interface, and boots over it, too."""
import os
import re
import shutil
import socket
import unittest

from guestlib import rig as guests
from guestlib.processes import Failed, wait_until
from guestimage.packages import Unavailable, unpacked

HOST = "10.0.0.200"
BOOT_LIMIT_S = 120


class Console:
    """QEMU's first serial line."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        wait_until(lambda: self._socket.connect_ex(path) == 0, f"QEMU's socket {path}")
        self._socket.settimeout(BOOT_LIMIT_S)
        self.text = ""

    def send(self, text):
        self._socket.sendall(text.encode())

    def wait(self, pattern):
        """The match of a pattern in what has come since the last one."""
        while True:
            found = re.search(pattern, self.text)
            if found:
                self.text = self.text[found.end():]
                return found
            try:
                more = self._socket.recv(4096)
            except TimeoutError:
                more = b""
            if not more:
                raise Failed(f"no '{pattern}' on the serial line; it said:\n{self.text[-2000:]}")
            self.text += more.decode(errors="replace")

    def close(self):
        self._socket.close()


class Firmware(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        guests.require("unetmapd", "unetmap", "unetmap-worker", "unetmap-keeper", "vale-ctl")
        cls.qemu = guests.require_newer_qemu()
        try:
            cls.u_boot, cls.ipxe = (unpacked(guests.guest_cache(), f"{package}-trixie", "trixie", [package], with_dependencies=False)
                                    for package in ("u-boot-qemu", "ipxe-qemu"))
        except Unavailable as reason:
            guests.skip(f"no firmware: {reason}")
        guests.own_network()
        cls.rig = cls.enterClassContext(guests.Rig(cls.qemu))
        cls.rig.call("vale-ctl", "-n", "vi0")
        cls.rig.call("vale-ctl", "-a", "vale0:vi0")
        cls.addClassCleanup(cls.rig.call, "vale-ctl", "-r", "vi0", check=False)
        cls.addClassCleanup(cls.rig.call, "vale-ctl", "-d", "vale0:vi0", check=False)
        cls.rig.call("ip", "address", "add", f"{HOST}/24", "dev", "vi0")
        cls.rig.call("ip", "link", "set", "vi0", "up")

    def _machine(self, name, rom, *more):
        """A machine with a card of ours, and its console."""
        port, console = (os.path.join(self.rig.folder, f"{name}-{what}") for what in ("card", "console"))
        self.rig.call("unetmap", "plug", f"vale0:{name}", "--e1000", port)
        self.addCleanup(self.rig.call, "unetmap", "unplug", f"vale0:{name}")
        card = f'{{"driver":"vfio-user-pci","romfile":"{rom}","bootindex":0,"socket":{{"type":"unix","path":"{port}"}}}}'
        machine = self.rig.start(self.qemu, "-nodefaults", "-no-user-config", "-machine", "pc,memory-backend=ram", "-accel", "tcg", "-m", "256M",
                                 "-object", "memory-backend-memfd,id=ram,size=256M,share=on", "-device", card, "-display", "none",
                                 "-chardev", f"socket,id=console,path={console},server=on,wait=off", "-serial", "chardev:console", *more)
        self.addCleanup(machine.stop)
        wait_until(lambda: os.path.exists(console) or not machine.running(), f"{name}: QEMU's socket")
        if not machine.running():
            raise Failed(f"{name}: QEMU ended: {machine.finish(statuses=None)}")
        line = Console(console)
        self.addCleanup(line.close)
        return line

    def _server(self, files):
        """DHCP, and TFTP of a folder."""
        if not shutil.which("dnsmasq", path=self.rig.environment["PATH"]):
            self.skipTest("dnsmasq is missing: install dnsmasq-base")
        os.mkdir(files)
        server = self.rig.start("dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--interface=vi0", "--bind-interfaces",
                                "--dhcp-range=10.0.0.100,10.0.0.110,1h", "--dhcp-boot=boot.ipxe", "--enable-tftp", f"--tftp-root={files}",
                                "--user=root", "--log-dhcp", "--log-facility=-", f"--dhcp-leasefile={files}/leases", "--tftp-no-blocksize")
        self.addCleanup(server.stop)
        return server

    def test_ipxe_boots_over_the_switch(self):
        files = os.path.join(self.rig.folder, "tftp")
        server = self._server(files)
        # Large enough to take many datagrams, and asked for by the script that was booted alone.
        with open(os.path.join(files, "boot.ipxe"), "w", encoding="ascii") as file:
            file.write(f"#!ipxe\nimgfetch tftp://{HOST}/large && imgfetch tftp://{HOST}/reached ||\nsleep 600\n")
        with open(os.path.join(files, "large"), "wb") as file:
            file.write(os.urandom(500000))
        with open(os.path.join(files, "reached"), "wb") as file:
            file.write(b"reached")
        self._machine("pxe", os.path.join(self.ipxe, "usr/share/qemu/pxe-e1000.rom"))
        for name in ("boot.ipxe", "large", "reached"):
            server.wait_line(rf"sent .*/{name} to 10\.0\.0\.1\d\d", BOOT_LIMIT_S)

    def _u_boot(self, name):
        """At its prompt, with an address."""
        console = self._machine(name, "", "-bios", os.path.join(self.u_boot, "usr/lib/u-boot/qemu-x86_64/u-boot.rom"))
        console.wait("stop autoboot")
        console.send("\r")
        console.wait("=> ")
        console.send("setenv ipaddr 10.0.0.9; setenv netmask 255.255.255.0; setenv autoload no; net list\r")
        console.wait("e1000#0")
        return console

    def test_u_boot_pings(self):
        console = self._u_boot("uboot")
        console.send(f"ping {HOST}\r")
        console.wait(f"host {HOST} is alive")

    def test_u_boot_boots_over_the_switch(self):
        """DHCP, a file of many datagrams, and what is to be done then, which is."""
        files = os.path.join(self.rig.folder, "tftp-u-boot")
        self._server(files)
        with open(os.path.join(files, "large"), "wb") as file:
            file.write(os.urandom(500000))
        with open(os.path.join(files, "boot.txt"), "w", encoding="ascii") as file:
            file.write("bootcmd=echo it is $reached\nreached=there\n")
        console = self._u_boot("ubootnet")
        console.send("dhcp\r")
        console.wait(r"DHCP client bound to address 10\.0\.0\.1\d\d")
        console.wait("=> ")
        console.send(f"tftpboot 0x1000000 {HOST}:large\r")
        console.wait("Bytes transferred = 500000")
        console.wait("=> ")
        console.send(f"tftpboot 0x1800000 {HOST}:boot.txt && env import -t 0x1800000 $filesize && boot\r")
        console.wait("it is there")


if __name__ == "__main__":
    guests.main()
