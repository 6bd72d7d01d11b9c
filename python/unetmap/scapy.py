# SPDX-License-Identifier: BSD-2-Clause
"""scapy on netmap ports: a SuperSocket, so that sr(), sniff() and the answering machines work on a switch.

>>> from scapy.all import Ether, IP, UDP, Raw
>>> from unetmap.scapy import NetmapSocket
>>> a, b = NetmapSocket("vale6:a"), NetmapSocket("vale6:b")
>>> a.send(Ether(dst="ff:ff:ff:ff:ff:ff") / IP(dst="10.0.0.2") / UDP(sport=9, dport=9) / Raw(b"hi")), b.recv()[Raw].load
(44, b'hi')
>>> a.close(); b.close()
"""
import time
from typing import Any, List, Optional

from scapy.config import conf
from scapy.data import MTU
from scapy.layers.l2 import Ether
from scapy.supersocket import SuperSocket

from .port import Port


class NetmapSocket(SuperSocket):
    """Ethernet frames to and from a netmap port.

    ``recv()`` waits `timeout` seconds (None: for ever) and returns None when nothing came.
    """

    desc = "frames of a netmap port (unetmap)"
    nonblocking_socket = True

    def __init__(self, spec: str, timeout: Optional[float] = None) -> None:
        self.port = Port(spec)
        self.timeout = timeout
        self.ins = self.outs = self.port
        self._waiting: List[Any] = []

    def send(self, x: Any) -> int:
        """Sends a packet, which leaves before this returns. Returns its bytes."""
        frame = bytes(x)
        x.sent_time = time.time()
        self.port.send_all([frame])
        return len(frame)

    def recv_raw(self, x: int = MTU) -> Any:
        """(class, bytes, time) of the next frame, or (None, None, None)."""
        if not self._waiting:
            if not self.port.wait_rx(self.timeout):
                return None, None, None
            self._waiting = [bytes(frame) for frame in self.port.receive()]
        if not self._waiting:
            return None, None, None
        return Ether, self._waiting.pop(0)[:x], time.time()

    def fileno(self) -> int:
        return self.port.fileno()

    def close(self) -> None:
        self.closed = True
        self.port.close()

    @staticmethod
    def select(sockets: List[Any], remain: Optional[float] = conf.recv_poll_rate) -> List[Any]:
        """Those with something to read, as scapy's sniffing loop asks for them."""
        ready = [s for s in sockets if getattr(s, "_waiting", None)]
        if ready:
            return ready
        share = None if remain is None else remain / max(1, len(sockets))
        return [s for s in sockets if s.port.wait_rx(share)]
