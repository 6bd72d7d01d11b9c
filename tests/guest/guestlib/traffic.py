# SPDX-License-Identifier: BSD-2-Clause
"""What programs that make and measure traffic say, in numbers."""
import re

from guestlib.processes import Failed


def await_answer(guest, address):
    """Waits for `address` to answer: a card that was reset, by a driver or with its machine, takes seconds until its link is up."""
    guest.run(f"until ping -c1 -W1 {address} >/dev/null; do sleep 0.1; done")


def netperf_figures(text):
    """The numbers of netperf's last lines: for UDP_STREAM a row of the sender's and one of the receiver's."""
    rows = [[float(word) for word in line.split()] for line in text.splitlines() if re.fullmatch(r"[\s\d.]+", line) and line.strip()]
    if not rows:
        raise Failed(f"netperf printed no figures:\n{text}")
    return rows


def udp_received(text):
    """Messages that arrived in a UDP_STREAM."""
    rows = netperf_figures(text)
    if len(rows) < 2 or len(rows[0]) != 6:
        raise Failed(f"this is no result of UDP_STREAM:\n{text}")
    return int(rows[1][2])


def transactions_per_second(text):
    """Of TCP_RR and UDP_RR."""
    row = next((row for row in netperf_figures(text) if len(row) == 6), None)
    if row is None:
        raise Failed(f"this is no result of a request and response test:\n{text}")
    return row[5]


def megabits_per_second(text):
    """Of TCP_STREAM."""
    row = next((row for row in netperf_figures(text) if len(row) == 5), None)
    if row is None:
        raise Failed(f"this is no result of TCP_STREAM:\n{text}")
    return row[4]


def ping_received(text):
    """Answers to busybox's ping."""
    found = re.search(r"(\d+) packets received", text)
    return int(found[1]) if found else 0
