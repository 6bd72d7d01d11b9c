# SPDX-License-Identifier: BSD-2-Clause
"""The experiments text's guest-to-guest tests, with its commands: the same over every kind of network."""
import re

from guestlib import traffic
from guestlib.processes import Failed

GUEST_1, GUEST_2, BRIDGE = "10.0.0.1", "10.0.0.2", "10.0.0.200"
PACKETS = 500


def received_bytes(sender, receiver, source, sink):
    """The length of PACKETS packets that `sink` reports, while `source` sends until it is interrupted. Both are commands of pkt-gen.
    Switches also carry a neighbour's question now and then."""
    receiving = receiver(f"{sink} -n{PACKETS} -w1")
    receiving.wait_line(r"waiting for initial packets|main_thread .* pps")
    # Slow enough that nothing has to be lost on the way, on any machine.
    sending = sender(f"{source} -R1000 -w3")
    text = receiving.finish()
    sending.interrupt()
    found = re.search(r"^Received (\d+) packets (\d+) bytes", text, re.M)
    if not found or int(found[1]) != PACKETS:
        raise Failed(f"pkt-gen does not report {PACKETS} packets:\n{text}")
    return int(found[2])


class GuestToGuest:
    """For a test case with booted guests vm1 and vm2 on one switch; netserver runs on vm2."""

    def test_ping(self):
        self.assertEqual(traffic.ping_received(self.vm1.run(f"ping -c3 -i0.1 {GUEST_2}")), 3)

    def test_guest_to_guest_1_udp_short_packets_over_sockets(self):
        received = traffic.udp_received(self.vm1.run(f"netperf -H{GUEST_2} -l1 -tUDP_STREAM -- -m8"))
        self.assertGreater(received, 100)

    def test_guest_to_guest_2_udp_short_packets_with_pkt_gen(self):
        size = received_bytes(self.vm1.start, self.vm2.start, "pkt-gen -ieth0 -ftx", "pkt-gen -ieth0 -frx")
        self.assertAlmostEqual(size / PACKETS, 60, delta=3)
        # The interface is the guest's again, once its driver has gone from queues for XDP to those without.
        traffic.await_answer(self.vm1, GUEST_2)
        self.test_ping()

    def test_guest_to_guest_3_latency(self):
        rate = traffic.transactions_per_second(self.vm1.run(f"netperf -H{GUEST_2} -l1 -tTCP_RR"))
        self.assertGreater(rate, 10)

    def test_guest_to_guest_raw_sockets(self):
        receiver = self.vm2.start("l2open -r eth0 l2recv -n 100 -f 'udp port 7777'")
        receiver.wait_line("waiting for packets")
        self.vm1.run(f"l2open -r eth0 l2send -n 100 -R 1K -d {GUEST_2}:7777")
        self.assertIn("Received 100 packets 6000 bytes", receiver.finish())

    def test_guest_to_guest_tcp_stream(self):
        """Every byte of a stream arrives, and is the one that was sent."""
        # nc ends at the end of its input, which a pipe that it may also write to has not.
        sink = self.vm2.start("mkfifo /tmp/open; nc -l -p 5001 <>/tmp/open | md5sum")
        self.vm2.run("until netstat -tln | grep -q :5001; do sleep 0.1; done")
        sent = self.vm1.run(f"head -c 4000000 /dev/urandom >/tmp/data; md5sum </tmp/data; nc {GUEST_2} 5001 </tmp/data")
        self.assertEqual(sink.finish().split(), sent.split())
