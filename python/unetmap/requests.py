# SPDX-License-Identifier: BSD-2-Clause
"""netmap's requests that need no open port (NIOCCTRL on a descriptor of its own)."""
import ctypes
import os
from typing import Any, Dict, List, Optional

from . import _abi
from ._abi import library
from ._errors import last_error, name_bytes

_PORT_INFO_GET, _VALE_ATTACH, _VALE_DETACH, _VALE_LIST, _VALE_NEWIF, _VALE_DELIF = 2, 3, 4, 5, 8, 9
_PORT_HDR_SET, _PORT_HDR_GET = 6, 7
_NR_REG_ALL_NIC, _NR_REG_NIC_SW = 1, 3


def control(reqtype: int, name: str, body: Optional[ctypes.Structure] = None) -> str:
    """Any request of the netmap API: `reqtype` is NETMAP_REQ_*, `body` its structure, which is written back. Returns nr_name.

    Raises Error with netmap's errno.
    """
    header = _abi.Header(nr_version=_abi.API, nr_reqtype=reqtype, nr_name=name_bytes(name))
    if body is not None:
        header.nr_body = ctypes.addressof(body)
    fd = library.open(b"/dev/netmap", os.O_RDWR | os.O_CLOEXEC)
    if fd < 0:
        raise last_error(ctypes.get_errno(), "open /dev/netmap")
    try:
        if library.ioctl(fd, _abi.NIOCCTRL, ctypes.byref(header)) < 0:
            raise last_error(ctypes.get_errno(), name)
    finally:
        library.close(fd)
    return os.fsdecode(header.nr_name)


def port_info(name: str) -> Dict[str, int]:
    """Shape of a port: ``nr_memsize`` in bytes, ``nr_{tx,rx}_slots``, ``nr_{tx,rx}_rings``, ``nr_host_{tx,rx}_rings``, ``nr_mem_id``."""
    body = _abi.PortInfo()
    control(_PORT_INFO_GET, name, body)
    return {field: getattr(body, field) for field, *_ in body._fields_ if field != "pad"}


def attach(name: str, host: bool = False) -> int:
    """Puts an interface or persistent port on a switch, ``vale0:eth0``; `host`: its host rings too. Returns its index there."""
    body = _abi.ValeAttach()
    body.reg.nr_mode = _NR_REG_NIC_SW if host else _NR_REG_ALL_NIC
    control(_VALE_ATTACH, name, body)
    return int(body.port_index)


def detach(name: str) -> int:
    """Takes it off. Returns the index that it had."""
    body = _abi.ValeDetach()
    control(_VALE_DETACH, name, body)
    return int(body.port_index)


def new_port(name: str, tx_slots: int = 0, rx_slots: int = 0, tx_rings: int = 0, rx_rings: int = 0, mem_id: int = 0) -> None:
    """Makes a persistent port (VALE_NEWIF); 0 lets the service choose."""
    control(_VALE_NEWIF, name, _abi.ValeNewif(tx_slots, rx_slots, tx_rings, rx_rings, mem_id))


def delete_port(name: str) -> None:
    """Removes a persistent port (VALE_DELIF)."""
    control(_VALE_DELIF, name)


def header_length(name: str, length: Optional[int] = None) -> int:
    """Bytes of virtio-net header in front of each frame of a port, after setting them to `length` (0, 10 or 12) if that is given."""
    body = _abi.PortHdr(nr_hdr_len=length or 0)
    control(_PORT_HDR_GET if length is None else _PORT_HDR_SET, name, body)
    return int(body.nr_hdr_len)


def switch_ports() -> List[Dict[str, Any]]:
    """All ports on switches: ``name``, ``bridge`` and ``port`` (indexes), by VALE_LIST."""
    found: List[Dict[str, Any]] = []
    bridge, port = 0, 0
    while True:
        body = _abi.ValeList(nr_bridge_idx=bridge, nr_port_idx=port)
        try:
            name = control(_VALE_LIST, "", body)
        except OSError as error:
            if error.errno == 2:  # ENOENT: no more
                return found
            raise
        found.append({"name": name, "bridge": body.nr_bridge_idx, "port": body.nr_port_idx})
        bridge, port = body.nr_bridge_idx, body.nr_port_idx + 1
