# SPDX-License-Identifier: BSD-2-Clause
"""What may happen to machines and to the daemon while traffic flows, and must disturb nobody else."""
import json
import os
import re
import signal
import time

from guestlib import traffic
from guestlib.experiments import GUEST_2
from guestlib.processes import EVENT_LIMIT_S, wait_until

PING_INTERVAL_S = 0.05
# How long a stopped machine stands still beside what goes on; UNETMAP_STANDSTILL_S=60 for a thorough run.
STANDSTILL_S = float(os.environ.get("UNETMAP_STANDSTILL_S", "0"))


def longest_gap_s(text):
    """Between two answers to a ping every PING_INTERVAL_S."""
    numbers = [int(number) for number in re.findall(r"seq=(\d+) ", text)]
    return max((later - earlier for earlier, later in zip(numbers, numbers[1:])), default=0) * PING_INTERVAL_S


class Survival:
    """For a test case with booted guests vm1 and vm2 on ports vale0:01 and vale0:02, and a rig."""

    def _plug(self, port):
        listed = json.loads(self.rig.call("unetmap", "ports", "--json"))["ports"]
        return next((found["plug"] for found in listed if found["name"] == port), None)

    def _wait_connected(self, port):
        wait_until(lambda: (self._plug(port) or {}).get("connected"), f"{port}: connected again")

    def _daemon_pid(self):
        return json.loads(self.rig.call("unetmap", "daemon", "--json"))["pid"]

    def _answers(self):
        traffic.await_answer(self.vm1, GUEST_2)

    def _host_pair(self):
        """Others on the switch: two programs of the host, one to the other, no packet lost."""
        receiver = self.rig.start("pkt-gen", "-ivale0:99", "-frx", "-n20000", "-w1")
        receiver.wait_line(r"waiting for initial packets|main_thread .* pps")
        sender = self.rig.start("pkt-gen", "-ivale0:98", "-ftx", "-R10000", "-w1")
        self.assertIn("Received 20000 packets", receiver.finish())
        sender.interrupt()

    def test_survival_1_daemon_restarts_under_traffic(self):
        self._answers()
        pinging = self.vm1.start(f"ping -i {PING_INTERVAL_S} {GUEST_2}")
        pinging.wait_line("seq=10 ")
        pid = self._daemon_pid()
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the end of the daemon")
        before = max(int(number) for number in re.findall(r"seq=(\d+) ", pinging.lines.text()))
        self.rig.call("unetmapd")
        self.assertNotEqual(self._daemon_pid(), pid)
        # The answer to something that was asked after the restart.
        def resumed():
            answered = [int(number) for number in re.findall(r"seq=(\d+) ", pinging.lines.text())]
            return max(answered) > before + 60

        wait_until(resumed, "traffic after the restart")
        gap = longest_gap_s(pinging.interrupt())
        print(f"\n  daemon restarted under traffic: longest gap {gap:.2f} s", flush=True)
        self.assertLess(gap, EVENT_LIMIT_S)

    def test_survival_2_guest_reboots(self):
        connections = self.vm2.boots()
        self.vm2.send("run 0 reboot -f")
        self.vm2.wait_ready(connections + 1)
        self._answers()
        self.vm2.run("netserver")

    def test_survival_3_machine_stands_still(self):
        worker = self._plug("vale0:02")["pid"]
        os.kill(self.vm2.qemu_pid, signal.SIGSTOP)
        try:
            # Fills what there is to be filled on the way to it.
            self.vm1.run("l2open -r eth0 l2send -n 20000 >/dev/null")
            self._host_pair()
            time.sleep(STANDSTILL_S)
            filled = own_memory_kib(worker)
            self.vm1.run("l2open -r eth0 l2send -n 20000 >/dev/null")
            # It keeps what fits its queues, and no more.
            self.assertLess(own_memory_kib(worker) - filled, 1024)
        finally:
            os.kill(self.vm2.qemu_pid, signal.SIGCONT)
        self._answers()

    def test_survival_4_machine_is_killed(self):
        daemon = self._daemon_pid()
        worker = self._plug("vale0:02")["pid"]
        descriptors, worker_descriptors = (len(os.listdir(f"/proc/{pid}/fd")) for pid in (daemon, worker))
        os.kill(self.vm2.qemu_pid, signal.SIGKILL)
        # launch-qemu.sh ends with its machine, and unplugs.
        self.vm2.program.finish(statuses=None)
        self.assertIsNone(self._plug("vale0:02"))
        if self._plug("vale0:01")["pid"] == worker:
            wait_until(lambda: len(os.listdir(f"/proc/{worker}/fd")) < worker_descriptors, "the end of the port in its worker")
        else:
            wait_until(lambda: not os.path.exists(f"/proc/{worker}"), "the end of the port's worker")
        self._host_pair()
        self.assertEqual(self._daemon_pid(), daemon)
        type(self).vm2 = self.boot_second("vm02-again")
        self._answers()
        wait_until(lambda: len(os.listdir(f"/proc/{daemon}/fd")) <= descriptors, "no more descriptors in the daemon than before")


def own_memory_kib(pid):
    """What is nobody else's: rings and buffers are shared, and count when they are first touched."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(r"RssAnon:\s+(\d+) kB", file.read())[1])
