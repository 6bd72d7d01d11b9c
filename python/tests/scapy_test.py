# SPDX-License-Identifier: BSD-2-Clause
"""scapy on a switch: its documentation's example, and a question with its answer by sr1()."""
import doctest
import threading
import unittest

try:
    import scapy.all as scapy
except ImportError:
    scapy = None


@unittest.skipIf(scapy is None, "scapy is not installed (Debian: python3-scapy)")
class Scapy(unittest.TestCase):
    def test_example(self) -> None:
        import unetmap.scapy

        outcome = doctest.testmod(unetmap.scapy)
        self.assertGreater(outcome.attempted, 0)
        self.assertEqual(outcome.failed, 0)

    def test_answers(self) -> None:
        from unetmap.scapy import NetmapSocket

        ask, reply = NetmapSocket("valescapy:a", timeout=20), NetmapSocket("valescapy:b", timeout=20)

        def answer() -> None:
            asked = reply.recv()
            asked.show2(dump=True)
            reply.send(scapy.Ether(src="02:00:00:00:00:02", dst=asked.src)
                       / scapy.ARP(op=2, psrc=asked[scapy.ARP].pdst, hwsrc="02:00:00:00:00:02", pdst=asked[scapy.ARP].psrc, hwdst=asked.src))

        other = threading.Thread(target=answer)
        other.start()
        question = scapy.Ether(src="02:00:00:00:00:01", dst="ff:ff:ff:ff:ff:ff") / scapy.ARP(pdst="10.0.0.2", psrc="10.0.0.1", hwsrc="02:00:00:00:00:01")
        got = ask.sr1(question, timeout=20, verbose=False)
        other.join(30)
        self.assertIsNotNone(got)
        self.assertEqual(got[scapy.ARP].hwsrc, "02:00:00:00:00:02")
        ask.close()
        reply.close()


if __name__ == "__main__":
    unittest.main()
