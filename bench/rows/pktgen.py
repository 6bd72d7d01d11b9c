# SPDX-License-Identifier: BSD-2-Clause
"""Drives pairs of our own pkt-gen and reads the rates from the lines it prints while it runs."""
import os
import re
import subprocess
import time

from harness.children import Failed
from harness.measure import Sample, Window

REPORT_MS = 200
WARM_UP_REPORTS = 3  # the first ones cover opening the port and waiting for the other side
REPORT = re.compile(r"main_thread.*?\(([\d.]+) ([KMG]?)pkts.*? in (\d+) usec\)")
CLOCKS_AGREE_S = 0.02  # a line arrives a little after the interval it reports
ENOUGH = 0.7           # of the window must be covered by whole reports
SENDER_MAC, RECEIVER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
SCALE = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9}


def reports(child):
    """(arrival, packets, seconds) of each report so far."""
    found = []
    for arrival, line in list(child.lines):
        match = REPORT.search(line)
        if match:
            found.append((arrival, float(match[1]) * SCALE[match[2]], int(match[3]) / 1e6))
    return found


class PktGen:
    """pkt-gen processes of one sample, all talking to the bench's own daemon."""

    def __init__(self, bench):
        self.bench = bench
        self.children = bench.netmap_children()

    def __enter__(self):
        return self

    def __exit__(self, *details):
        self.children.__exit__(*details)

    def start(self, mode, port, cpu, *more):
        return self.children.start([self.bench.tool("pkt-gen"), "-i", port, "-f", mode, "-w", 0, "-T", REPORT_MS, *more],
                                   cpu=cpu)

    def set_lossless(self, child, port):
        """The port exists once the receiver has opened it."""
        answer = [""]

        def done():
            attempt = subprocess.run([self.bench.tool("unetmap"), "set", port, "lossless", "on"], capture_output=True,
                                     text=True, timeout=10, env={**os.environ, **self.bench.environment})
            answer[0] = attempt.stderr.strip()
            return attempt.returncode == 0

        try:
            child.wait_for(done, f"port {port} to make lossless", timeout_s=5)
        except Failed as reason:
            raise Failed(f"{reason}; unetmap set said: {answer[0] or 'nothing'}") from None

    def announce(self, port, address):
        """One frame from the receiver's port, so that the switch knows the address: otherwise every frame is flooded."""
        with self.bench.netmap_children() as children:
            one = children.start([self.bench.tool("pkt-gen"), "-i", port, "-f", "tx", "-w", 0, "-n", 1, "-S", address])
            one.finish(timeout_s=20)

    def observe(self, receiver, sender=None, kernel=False, others=()):
        """Rates over a steady window of about bench.seconds, from the reports of each side; how even `others` are."""
        try:
            receiver.wait_for(lambda: sum(packets > 0 for _, packets, _ in reports(receiver)) > WARM_UP_REPORTS,
                              "reports of packets")
        except Failed as reason:
            raise Failed(f"{reason}\n{sender.failure('its sender')}" if sender else str(reason)) from None
        window = Window(self.children.pids(), kernel)

        def inside(child):
            """Packets and seconds of the reports whose interval began in the window."""
            found = [(packets, seconds) for arrival, packets, seconds in reports(child)
                     if arrival - seconds >= window.start - CLOCKS_AGREE_S]
            return sum(packets for packets, _ in found), sum(seconds for _, seconds in found)

        def rate(child):
            packets, seconds = inside(child)
            return packets / seconds

        time.sleep(self.bench.seconds)
        for child in filter(None, (receiver, sender, *others)):
            child.wait_for(lambda child=child: inside(child)[1] >= ENOUGH * self.bench.seconds, "reports for the whole window")
        window.close()
        self.children.check()
        received = rate(receiver)
        detail = window.detail(received * window.seconds)
        if sender:
            sent = rate(sender)
            detail["sent_mpps"] = sent / 1e6
            detail["loss_percent"] = max(0.0, 100 * (1 - received / sent)) if sent else 0.0
        if others:
            rates = [rate(child) for child in others]
            detail["fastest_to_slowest"] = max(rates) / max(min(rates), 1.0)
        return received, detail


def pair(bench, length, tx_cpu, rx_cpu, lossless, ports=("vale0:tx", "vale0:rx"), unicast=True):
    """Delivered Mpps of a sender and a receiver, whose address the switch has learned if `unicast`."""
    addresses = ("-S", SENDER_MAC, "-D", RECEIVER_MAC) if unicast else ()
    with PktGen(bench) as generators:
        receiver = generators.start("rx", ports[1], rx_cpu)
        if lossless:
            generators.set_lossless(receiver, ports[1])
        else:
            receiver.wait_for_line("main_thread")
        if unicast:
            generators.announce(ports[1], RECEIVER_MAC)
        sender = generators.start("tx", ports[0], tx_cpu, "-l", length, *addresses)
        received, detail = generators.observe(receiver, sender)
    return Sample(received / 1e6, detail)


def pipe(bench, length):
    cpu = bench.cpus[0]
    # The two ends of pipe 1 of one port: `{` is the master's side, `}` the slave's.
    ports = ("netmap:vale0:p{1", "netmap:vale0:p}1")
    return pair(bench, length, cpu, cpu, lossless=False, ports=ports, unicast=False)


def round_trip(bench, length, ping_cpu, pong_cpu, more=()):
    """Mean microseconds from ping to its answer, from how many answers came in the window."""
    with PktGen(bench) as generators:
        pong = generators.start("pong", "vale0:pong", pong_cpu, *more)
        pong.wait_for_line("main_thread")
        ping = generators.start("ping", "vale0:ping", ping_cpu, "-l", length, *more)
        answers, detail = generators.observe(ping)
    if not answers:
        raise ping.failure("no answers")
    return Sample(1e6 / answers, {key: detail[key] for key in ("cpus_used", "cpus_used_by_others")})


def many_to_one(bench, length, count, cpus):
    """Delivered Mpps of `count` senders, on these CPUs in turn, to one lossless port on the first CPU; also how even they are."""
    with PktGen(bench) as generators:
        receiver = generators.start("rx", "vale0:rx", bench.cpus[0])
        generators.set_lossless(receiver, "vale0:rx")
        generators.announce("vale0:rx", RECEIVER_MAC)
        senders = [generators.start("tx", f"vale0:tx{i}", cpus[i % len(cpus)], "-l", length, "-S", f"02:00:00:00:01:{i:02x}",
                                    "-D", RECEIVER_MAC) for i in range(count)]
        for sender in senders:
            sender.wait_for(lambda sender=sender: any(packets > 0 for _, packets, _ in reports(sender)), "reports of packets")
        received, detail = generators.observe(receiver, others=senders)
    return Sample(received / 1e6, detail)
