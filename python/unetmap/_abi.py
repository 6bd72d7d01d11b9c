# SPDX-License-Identifier: BSD-2-Clause
"""The structures of net/netmap.h and libnetmap.h, and the calls of libunetmap.so, by ctypes.

tests/abi_test.py compares every size and offset here with what the C compiler makes of the headers.
"""
import ctypes
import ctypes.util
import os
from ctypes import POINTER, Structure, c_char, c_char_p, c_int, c_int16, c_int64, c_long, c_short, c_size_t, c_ssize_t, c_ubyte, c_uint16, c_uint32, c_uint64, c_ulong, c_void_p

API = 14
NS_MOREFRAG = 0x0020
NR_MONITOR_TX, NR_MONITOR_RX, NR_ZCOPY_MON = 0x100, 0x200, 0x400


class Header(Structure):
    """struct nmreq_header"""

    _fields_ = [("nr_version", c_uint16), ("nr_reqtype", c_uint16), ("nr_reserved", c_uint32), ("nr_name", c_char * 64),
                ("nr_options", c_uint64), ("nr_body", c_uint64)]


class Register(Structure):
    """struct nmreq_register"""

    _fields_ = [("nr_offset", c_uint64), ("nr_memsize", c_uint64), ("nr_tx_slots", c_uint32), ("nr_rx_slots", c_uint32),
                ("nr_tx_rings", c_uint16), ("nr_rx_rings", c_uint16), ("nr_host_tx_rings", c_uint16),
                ("nr_host_rx_rings", c_uint16), ("nr_mem_id", c_uint16), ("nr_ringid", c_uint16), ("nr_mode", c_uint32),
                ("nr_extra_bufs", c_uint32), ("nr_flags", c_uint64)]


class PortInfo(Structure):
    """struct nmreq_port_info_get"""

    _fields_ = [("nr_memsize", c_uint64), ("nr_tx_slots", c_uint32), ("nr_rx_slots", c_uint32), ("nr_tx_rings", c_uint16),
                ("nr_rx_rings", c_uint16), ("nr_host_tx_rings", c_uint16), ("nr_host_rx_rings", c_uint16),
                ("nr_mem_id", c_uint16), ("pad", c_uint16 * 3)]


class ValeAttach(Structure):
    """struct nmreq_vale_attach"""

    _fields_ = [("reg", Register), ("port_index", c_uint32), ("pad1", c_uint32)]


class ValeDetach(Structure):
    """struct nmreq_vale_detach"""

    _fields_ = [("port_index", c_uint32), ("pad1", c_uint32)]


class ValeList(Structure):
    """struct nmreq_vale_list"""

    _fields_ = [("nr_bridge_idx", c_uint16), ("pad1", c_uint16), ("nr_port_idx", c_uint32)]


class ValeNewif(Structure):
    """struct nmreq_vale_newif"""

    _fields_ = [("nr_tx_slots", c_uint32), ("nr_rx_slots", c_uint32), ("nr_tx_rings", c_uint16), ("nr_rx_rings", c_uint16),
                ("nr_mem_id", c_uint16), ("pad1", c_uint16)]


class PortHdr(Structure):
    """struct nmreq_port_hdr"""

    _fields_ = [("nr_hdr_len", c_uint32), ("pad1", c_uint32)]


class Slot(Structure):
    """struct netmap_slot"""

    _fields_ = [("buf_idx", c_uint32), ("len", c_uint16), ("flags", c_uint16), ("ptr", c_uint64)]


class Timeval(Structure):
    """struct timeval"""

    _fields_ = [("tv_sec", c_long), ("tv_usec", c_long)]


class RingHead(Structure):
    """struct netmap_ring up to its slots"""

    _fields_ = [("buf_ofs", c_int64), ("num_slots", c_uint32), ("nr_buf_size", c_uint32), ("ringid", c_uint16),
                ("dir", c_uint16), ("head", c_uint32), ("cur", c_uint32), ("tail", c_uint32), ("flags", c_uint32),
                ("ts", Timeval), ("offset_mask", c_uint64), ("buf_align", c_uint64)]


RING_SLOTS_OFFSET = 256


class Interface(Structure):
    """struct netmap_if up to its ring_ofs"""

    _fields_ = [("ni_name", c_char * 16), ("ni_version", c_uint32), ("ni_flags", c_uint32), ("ni_tx_rings", c_uint32),
                ("ni_rx_rings", c_uint32), ("ni_bufs_head", c_uint32), ("ni_host_tx_rings", c_uint32),
                ("ni_host_rx_rings", c_uint32), ("ni_spare1", c_uint32 * 3)]


class Memory(Structure):
    """struct nmem_d up to its size"""

    _fields_ = [("mem_id", c_uint16), ("refcount", c_int), ("mem", c_void_p), ("size", c_size_t)]


class Context(Structure):
    """struct nmctx"""


ERROR_CALLBACK = ctypes.CFUNCTYPE(None, POINTER(Context), c_char_p)
Context._fields_ = [("verbose", c_int), ("error", ERROR_CALLBACK), ("malloc", c_void_p), ("free", c_void_p), ("lock", c_void_p),
                    ("mem_descs", c_void_p)]


class PortDescriptor(Structure):
    """struct nmport_d"""

    _fields_ = [("hdr", Header), ("reg", Register), ("mem", POINTER(Memory)), ("ctx", POINTER(Context)), ("register_done", c_int),
                ("mmap_done", c_int), ("extmem", c_void_p), ("fd", c_int), ("nifp", c_void_p), ("first_tx_ring", c_uint16),
                ("last_tx_ring", c_uint16), ("first_rx_ring", c_uint16), ("last_rx_ring", c_uint16),
                ("cur_tx_ring", c_uint16), ("cur_rx_ring", c_uint16), ("clist", c_void_p)]


class Pollfd(Structure):
    """struct pollfd"""

    _fields_ = [("fd", c_int), ("events", c_short), ("revents", c_short)]


def _ioc(direction: int, number: int, size: int = 0) -> int:
    return direction << 30 | size << 16 | ord("i") << 8 | number


NIOCCTRL = _ioc(3, 151, ctypes.sizeof(Header))
NIOCTXSYNC = _ioc(0, 148)
NIOCRXSYNC = _ioc(0, 149)


def _load() -> ctypes.CDLL:
    """libunetmap.so: UNETMAP_LIBRARY's, else the one that this process has in front already, else the installed one."""
    named = os.environ.get("UNETMAP_LIBRARY")
    names = [named] if named else ["libunetmap.so.0", ctypes.util.find_library("unetmap") or "libunetmap.so"]
    said = ""
    for name in names:
        try:
            return ctypes.CDLL(name, use_errno=True)
        except OSError as error:
            said = said or str(error)
    raise ImportError(f"libunetmap.so cannot be loaded: {said}; install unetmap, or name the file in UNETMAP_LIBRARY")


library = _load()


def _declare(name: str, result: object, *arguments: object) -> None:
    call = getattr(library, name)
    call.restype, call.argtypes = result, arguments


_PORT = POINTER(PortDescriptor)
_declare("nmport_new", _PORT)
_declare("nmport_parse", c_int, _PORT, c_char_p)
_declare("nmport_open_desc", c_int, _PORT)
_declare("nmport_undo_register", None, _PORT)
_declare("nmport_close", None, _PORT)
_declare("nmctx_get", POINTER(Context))
_declare("unetmap_last_error", c_char_p)
_declare("open", c_int, c_char_p, c_int)
_declare("close", c_int, c_int)
_declare("ioctl", c_int, c_int, c_ulong, c_void_p)
_declare("poll", c_int, POINTER(Pollfd), c_ulong, c_int)
