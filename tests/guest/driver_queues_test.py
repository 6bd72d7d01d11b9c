# SPDX-License-Identifier: BSD-2-Clause
"""netmap in a guest by our own driver (mode `driver`) of a virtio-net with several pairs of queues, with frames of up to 9014 bytes, which come
in several (mergeable) buffers."""
import re
import unittest

from guestlib import rig as guests
from guestlib.driven import PORT, Driven
from guestlib.experiments import PACKETS, received_bytes

PIECES, LONG = 6, 9000  # slots of a packet, and its bytes


class DriverQueues(Driven, unittest.TestCase):
    DEVICE, LINK, KERNEL_DRIVER = "virtio-net-pci", "vhost-user", "virtio_net"
    MTU, RINGS, MACHINE = 9000, 2, {"QUEUES": "2", "CPUS": "2"}

    def test_1_each_pair_sends(self):
        for ring in range(self.RINGS):
            size = received_bytes(self.vm.start, self.host, f"pkt-gen -inetmap:eth0-{ring} -ftx", f"pkt-gen -i{PORT} -frx")
            self.assertAlmostEqual(size / PACKETS, 60, delta=3)
            self.await_return()

    def test_2_each_pair_receives(self):
        """By the number of the ring that it was sent from."""
        for ring in range(self.RINGS):
            job = self.vm.start(f"pkt-gen -inetmap:eth0-{ring} -frx -n{PACKETS} -w1")
            job.wait_line(r"waiting for initial packets|main_thread .* pps")
            sender = self.host(f"pkt-gen -i{PORT} -ftx -p{self.RINGS} -C1024,1024,{self.RINGS},{self.RINGS} -l200 -R2000 -w1")
            text = job.finish()
            sender.interrupt()
            found = re.search(r"^Received (\d+) packets (\d+) bytes", text, re.M)
            self.assertEqual(int(found[1]), PACKETS)
            self.assertAlmostEqual(int(found[2]) / PACKETS, 200, delta=10)
            self.await_return()

    def test_3_long_packets_go_out_and_come_in(self):
        size = received_bytes(self.vm.start, self.host, f"pkt-gen -ieth0 -ftx -F{PIECES} -l{LONG}", f"pkt-gen -i{PORT} -frx -F16")
        self.assertAlmostEqual(size / PACKETS, LONG, delta=400)
        self.await_return()
        size = received_bytes(self.host, self.vm.start, f"pkt-gen -i{PORT} -ftx -F{PIECES} -l{LONG}", "pkt-gen -ieth0 -frx -F16")
        self.assertAlmostEqual(size / PACKETS, LONG, delta=400)


if __name__ == "__main__":
    guests.main()
