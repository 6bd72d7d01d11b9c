# SPDX-License-Identifier: BSD-2-Clause
"""netmap in Python: ports, rings without a copy, requests, and questions to unetmap's daemon.

    import unetmap

    with unetmap.Port("vale0:a") as port:
        port.send_all([b"\\xff" * 6 + b"\\x02" + bytes(5) + b"\\x08\\x00" + bytes(46)] * 1000)
        while port.wait_rx(1):
            for frame in port.receive():
                print(bytes(frame[:14]).hex())

Needs libunetmap.so (UNETMAP_LIBRARY names another one than the installed) and nothing but Python's own modules; unetmap.scapy
needs scapy. Errors are unetmap.Error, an OSError whose text says what failed, why, and what to do.
"""
from ._errors import Error
from .daemon import Daemon, socket_path
from .port import Port
from .requests import attach, control, delete_port, detach, header_length, new_port, port_info, switch_ports
from .ring import Frame, Ring

__all__ = ["Daemon", "Error", "Frame", "Port", "Ring", "attach", "control", "delete_port", "detach", "header_length",
           "new_port", "port_info", "socket_path", "switch_ports"]
