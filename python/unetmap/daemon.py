# SPDX-License-Identifier: BSD-2-Clause
"""Questions to the daemon, and what can be changed there: the JSON of docs/wire.md, over its socket. Starts no daemon."""
import array
import json
import os
import socket
import struct
from typing import Any, Dict, List, Optional

from ._errors import Error

_MAGIC, _VERSION = 0x6D70756E, 3
_QUERY, _SET, _PLUG, _UNPLUG = 8, 9, 10, 11
_REQUEST = struct.Struct("=IHHII")
_REPLY = struct.Struct("=IHHiIII")
_MAX_REPLY = 65536


def socket_path() -> str:
    """The socket that the library and all tools use: UNETMAP_SOCKET's, else the user's own place."""
    named = os.environ.get("UNETMAP_SOCKET")
    if named:
        return named
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        return runtime + "/unetmap/unetmapd.sock"
    return "/run/unetmap/unetmapd.sock" if os.geteuid() == 0 else f"/tmp/unetmap-{os.geteuid()}/unetmapd.sock"


class Daemon:
    """A connection to the daemon at `path`. Raises Error (ECONNREFUSED, ENOENT) where none runs.

    >>> with Daemon() as daemon:
    ...     daemon.info()["ports"] >= 0
    True
    """

    def __init__(self, path: Optional[str] = None, timeout: float = 30.0) -> None:
        self.path = path or socket_path()
        self._timeout = timeout
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._socket.connect(self.path)
        except OSError as error:
            self._socket.close()
            raise Error(error.errno, f"no daemon at {self.path}: {error.strerror}; the first program that opens a port starts one") from None

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, op: int, body: Dict[str, Any]) -> bytes:
        payload = json.dumps(body).encode()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            with theirs:
                self._socket.sendmsg(
                    [_REQUEST.pack(_MAGIC, _VERSION, op, len(payload), 0) + payload],
                    [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs.fileno()]))],
                )
            ours.settimeout(self._timeout)
            data, fds, _, _ = socket.recv_fds(ours, _MAX_REPLY, 8)
        try:
            return self._text_of(data, fds)
        finally:
            for fd in fds:
                os.close(fd)

    def _text_of(self, data: bytes, fds: List[int]) -> bytes:
        if len(data) < _REPLY.size:
            raise Error(6, f"unetmapd at {self.path} ended before it answered; try again")
        magic, version, _, error, body_bytes, text_bytes, _ = _REPLY.unpack_from(data)
        if magic == _MAGIC and version != _VERSION:
            raise Error(71, f"unetmapd at {self.path} is of another version of unetmap (its protocol is {version}, this package's {_VERSION}); "
                            "end it and try again, or use the package that came with it")
        if magic != _MAGIC or _REPLY.size + body_bytes + text_bytes != len(data):
            raise Error(71, f"unetmapd at {self.path}: its answer is not understood; end it and try again")
        if error:
            raise Error(error, data[_REPLY.size + body_bytes :].decode(errors="replace") or os.strerror(error))
        if not fds:
            return b""
        whole = b""
        while True:
            part = os.pread(fds[0], 1 << 20, len(whole))
            if not part:
                return whole.rstrip(b"\0")
            whole += part

    def query(self, what: str, **more: Any) -> Dict[str, Any]:
        """The daemon's answer to ``{"what": what, ...}``."""
        answer: Dict[str, Any] = json.loads(self._ask(_QUERY, {"what": what, **more}))
        return answer

    def info(self) -> Dict[str, Any]:
        """``version``, ``pid``, ``socket``, ``uptime_s``, ``switches``, ``ports``, ``regions``, ``descriptors``, ``resident_kib``."""
        return self.query("daemon")

    def ports(self) -> List[Dict[str, Any]]:
        """All ports: ``name``, ``kind``, ``switch``, ``lossless``, ``tx_rings``, ``users``, ``pids``..."""
        ports: List[Dict[str, Any]] = self.query("ports")["ports"]
        return ports

    def stats(self, port: Optional[str] = None) -> Dict[str, Dict[str, Any]]:
        """Counters by port name: ``tx`` and ``rx``, each with ``packets``, ``bytes``, ``lost_*`` by cause, and ``rings``."""
        answer = self.query("stats", port=port) if port else self.query("stats")
        return {entry["name"]: entry for entry in answer["ports"]}

    def fdb(self, switch: str) -> List[Dict[str, Any]]:
        """What a switch has learned: ``mac``, ``port``, ``index``, ``age_s``."""
        entries: List[Dict[str, Any]] = self.query("fdb", switch=switch)["entries"]
        return entries

    def set(self, port: str, **settings: Any) -> None:
        """Changes a port: ``lossless=True``, ``mac="02:..."``, ``addresses=[...]``, ``isolated=GROUP``, ``rate=BITS A SECOND``, ``vlan="access 10"``; None: off."""
        self._ask(_SET, {"port": port, **settings})

    def plug(self, port: str, kind: str, **parameters: Any) -> None:
        """Has a worker serve a port: ``plug("vale0:1", "stream", socket="/run/vm.sock", mode="server")``. Returns once it serves."""
        self._ask(_PLUG, {"port": port, "kind": kind, **parameters})

    def unplug(self, port: str) -> None:
        """Ends that."""
        self._ask(_UNPLUG, {"port": port})
