# SPDX-License-Identifier: BSD-2-Clause
"""A running guest moves from one QEMU to another, and from one port of a VALE switch to another, while it receives."""
import os
import re
import unittest

from guestlib import rig as guests
from guestlib import traffic
from guestlib.experiments import GUEST_1, GUEST_2
from guestlib.processes import wait_until
from guestlib.survival import PING_INTERVAL_S, longest_gap_s

LIMIT_S = 240  # emulated cards on a machine that does other things, too
# What is sent until the guest has moved, at a rate that an emulated machine's memory can be copied beside; and its sum.
STREAM = ("rm -f /tmp/moved /tmp/sum; mkfifo /tmp/sum; md5sum </tmp/sum >/tmp/sent & "
          "until [ -e /tmp/moved ]; do head -c 20000 /dev/urandom; usleep 20000; done | tee /tmp/sum | nc {} 5001; wait; cat /tmp/sent")


def unanswered(text):
    """Of the questions that a ping asked, without the last, which may still have been under way; and how many there were."""
    found = re.search(r"(\d+) packets transmitted, (\d+) packets received", text)
    sent, received = int(found[1]), int(found[2])
    return max(0, sent - received - 1), sent


class Migration(unittest.TestCase):
    """Guest 2 stays where it is and sends; guest 1 moves, each time to a port that another QEMU holds."""

    @classmethod
    def setUpClass(cls):
        guests.require("unetmapd", "unetmap", "unetmap-worker")
        guests.own_network()
        cls.rig = cls.enterClassContext(guests.Rig())
        cls.vm2 = cls.rig.boot({"vm02": "qemu --vale 2"}, {"vm02": {"DEVICE": "virtio-net-pci", "LINK": "vhost-user"}})[0]

    def _walk(self, device, places):
        """A guest with that card boots at the first of the places, which are pairs of a port's link and its name, and moves
        to each of the others, from one to the next."""
        (link, index), *others = places
        machine = self._boot(index, {"DEVICE": device, "LINK": link})
        self.addCleanup(lambda: machine.stop())
        traffic.await_answer(machine, GUEST_2)
        for next_link, next_index in others:
            machine = self._move(machine, index, next_index, {"DEVICE": device, "LINK": next_link}, f"{link} to {next_link}")
            link, index = next_link, next_index
        traffic.await_answer(machine, GUEST_2)

    def _boot(self, index, variables, ready=True):
        """A guest of this test at that port; its name is no other test's."""
        name = f"{variables['LINK']}-{index}"
        return self.rig.boot({name: f"qemu --vale {index}"}, {name: variables}, ready)[0]

    def _move(self, machine, index, next_index, variables, what):
        """What the back-end wrote into the guest's memory is there afterwards, so the log of what it wrote was right. The machine
        where it is now."""
        state = os.path.join(self.rig.folder, f"{variables['LINK']}-{next_index}.state")
        target = self._boot(next_index, {**variables, "EXTRA": f"-incoming unix:{state}"}, ready=False)
        sink = machine.start("mkfifo -m 600 /tmp/open 2>/dev/null; nc -l -p 5001 <>/tmp/open | md5sum")
        machine.run("until netstat -tln | grep -q :5001; do sleep 0.1; done")
        pinging = self.vm2.start(f"ping -i {PING_INTERVAL_S} {GUEST_1}")
        sending = self.vm2.start(STREAM.format(GUEST_1))
        pinging.wait_line("seq=10 ")
        machine.migrate(target, state, LIMIT_S)
        machine.stop()
        # An answer to what was asked after it had moved.
        before = len(pinging.lines.text().splitlines())
        wait_until(lambda: len(pinging.lines.text().splitlines()) > before + 5, f"{what}: answers of the moved guest", LIMIT_S)
        self.assertIsNone(sink.status, f"{what}: the stream ended before the guest had moved")
        self.vm2.run("touch /tmp/moved")
        sent = sending.finish(LIMIT_S).split()[0]
        self.assertEqual(sink.finish(LIMIT_S).split()[0], sent, what)
        text = pinging.interrupt()
        lost, asked = unanswered(text)
        print(f"\n  {what}, under traffic: longest gap of pings {longest_gap_s(text):.2f} s, {lost} of {asked} not answered", flush=True)
        self.assertIn(f"vale0:{next_index} ", self.rig.call("unetmap", "ports"))
        wait_until(lambda: f"vale0:{index} " not in self.rig.call("unetmap", "ports"), "the end of the port that it left")
        return target

    def test_a_stream_goes_on_unspoilt(self):
        self._walk("virtio-net-pci", [("vhost-user", "1"), ("vhost-user", "1a"), ("vhost-user", "1b")])

    def test_sockets_are_moved_between(self):
        """QEMU's own cards, on stream and datagram sockets: from one kind to the same, and to the other."""
        self._walk("e1000", [("stream", "1"), ("stream", "1a"), ("dgram", "1b"), ("dgram", "1c")])


if __name__ == "__main__":
    guests.main()
