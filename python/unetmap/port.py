# SPDX-License-Identifier: BSD-2-Clause
"""An open netmap port."""
import asyncio
import concurrent.futures
import ctypes
import os
import select
import time
import weakref
from types import TracebackType
from typing import AsyncIterator, Iterator, List, Optional, Sequence, Type

from . import _abi
from ._abi import library
from ._errors import Error, last_error, name_bytes
from .ring import Frame, Ring

_said: List[bytes] = []
_report = _abi.ERROR_CALLBACK(lambda context, text: _said.append(text))


def _context() -> "_abi.Context":
    """The library's own context, but for where its sentences go: to the Error that is raised instead of to stderr."""
    context = _abi.Context()
    ctypes.memmove(ctypes.addressof(context), library.nmctx_get(), ctypes.sizeof(context))
    context.verbose = 1
    context.error = _report
    return context


def _open(spec: str, context: "_abi.Context"):  # type: ignore[no-untyped-def]
    del _said[:]
    name = name_bytes(spec)
    port = library.nmport_new()
    if not port:
        raise MemoryError
    port.contents.ctx = ctypes.pointer(context)
    if library.nmport_parse(port, name) == 0 and library.nmport_open_desc(port) == 0:
        return port
    code = ctypes.get_errno()
    text = _said[-1].decode(errors="replace") if _said else ""
    library.nmport_close(port)
    raise Error(code, text) if text else last_error(code, spec)


class Port:
    """A netmap port by its specification (syntax: libnetmap(3)), such as ``vale0:a``, ``vale0:a{1``, ``netmap:eth0-2/R``.

    Raises Error when it cannot be opened. One thread at a time may use a port.

    >>> with Port("vale7:a") as a, Port("vale7:b") as b:
    ...     a.send(b"\\xff" * 6 + b"\\x02\\x00\\x00\\x00\\x00\\x01" + b"\\x88\\xb5" + b"hello" * 10)
    ...     a.sync_tx()
    ...     b.wait_rx(5)
    ...     [bytes(frame[14:19]) for frame in b.receive()]
    True
    True
    [b'hello']
    """

    def __init__(self, spec: str) -> None:
        self._context = _context()
        self._port = _open(spec, self._context)
        descriptor = self._port.contents
        self._fd: int = descriptor.fd
        self.name: str = descriptor.hdr.nr_name.decode(errors="replace")
        memory = descriptor.mem.contents
        # The views of rings and buffers keep this alive, and it the mapping: a frame that somebody keeps stays readable.
        raw = (ctypes.c_ubyte * memory.size).from_address(memory.mem)
        self._finalizer = weakref.finalize(raw, library.nmport_close, self._port)
        self._finalizer.atexit = False
        weakref.finalize(raw, lambda kept: None, self._context)
        view = memoryview(raw).cast("B")
        base = descriptor.nifp - memory.mem
        interface = _abi.Interface.from_buffer(view, base)
        tx_all = interface.ni_tx_rings + interface.ni_host_tx_rings
        offsets = view[base + ctypes.sizeof(_abi.Interface) :]
        #: The rings bound, tx and rx.
        self.tx: List[Ring] = self._rings(view, base, offsets, 0, descriptor.first_tx_ring, descriptor.last_tx_ring, True)
        self.rx: List[Ring] = self._rings(view, base, offsets, tx_all, descriptor.first_rx_ring, descriptor.last_rx_ring, False)
        self.mem_id: int = descriptor.reg.nr_mem_id
        self._waker: Optional[_Waker] = None

    @staticmethod
    def _rings(view: memoryview, base: int, offsets: memoryview, skip: int, first: int, last: int, is_tx: bool) -> List[Ring]:
        if first > last:
            return []
        numbers = offsets[: 8 * (skip + last + 1)].cast("q")
        return [Ring(view, base + numbers[skip + i], is_tx) for i in range(first, last + 1)]

    # --- life ---

    def close(self) -> None:
        """Closes the port. Frames not handed over by a sync or poll are lost; flush() first. Closing twice is harmless."""
        if self._fd < 0:
            return
        if self._waker:
            self._waker.close()
            self._waker = None
        self._fd = -1
        library.nmport_undo_register(self._port)
        self.tx, self.rx = [], []

    @property
    def closed(self) -> bool:
        return self._fd < 0

    def __enter__(self) -> "Port":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            self.close()

    def __repr__(self) -> str:
        return f"<unetmap.Port {self.name}{' closed' if self.closed else ''}>"

    def fileno(self) -> int:
        """The netmap descriptor. Python's own select and poll do not understand it; wait_rx(), wait_tx() and readable() do."""
        self._check()
        return self._fd

    def _check(self) -> None:
        if self._fd < 0:
            raise ValueError(f"{self.name}: the port is closed")

    # --- frames ---

    def send(self, frame: Frame) -> bool:
        """Copies one frame into a tx ring. False when none has room: sync_tx() or wait_tx(), and again."""
        return any(ring.put((frame,)) for ring in self.tx)

    def send_batch(self, frames: Sequence[Frame]) -> int:
        """Copies frames in order into the first tx ring, as many as fit. Returns how many; they leave at the next sync or wait."""
        self._check()
        return self.tx[0].put(frames) if self.tx else 0

    def send_all(self, frames: Sequence[Frame], timeout: Optional[float] = None) -> None:
        """Sends all frames, waiting for room as long as it takes, and has them leave. TimeoutError after `timeout` seconds without room."""
        sent = 0
        while sent < len(frames):
            sent += self.send_batch(frames[sent:] if sent else frames)
            if sent < len(frames) and not self.wait_tx(timeout):
                raise TimeoutError(f"{self.name}: no room in the tx ring for {timeout} s; {len(frames) - sent} frames left")
        self.flush(timeout)

    def receive(self, limit: Optional[int] = None) -> Iterator[memoryview]:
        """The frames that the last sync or wait brought, at most `limit`, as memoryviews of the buffers: nothing is copied.

        A view shows its frame until the port's next sync or wait; keep ``bytes(frame)``.
        """
        self._check()
        left = limit
        for ring in self.rx:
            for frame in ring.take(left):
                yield frame
                if left is not None:
                    left -= 1

    # --- synchronising and waiting ---

    def _sync(self, request: int, what: str) -> None:
        self._check()
        if library.ioctl(self._fd, request, None) < 0:
            raise last_error(ctypes.get_errno(), f"{self.name}: cannot synchronise {what} rings")

    def sync_tx(self) -> None:
        """Hands filled slots over and learns of free ones (NIOCTXSYNC), without waiting. Raises Error."""
        self._sync(_abi.NIOCTXSYNC, "tx")

    def sync_rx(self) -> None:
        """Gives read slots back and learns of new frames (NIOCRXSYNC), without waiting. Raises Error."""
        self._sync(_abi.NIOCRXSYNC, "rx")

    def wait_rx(self, timeout: Optional[float] = None) -> bool:
        """Waits for frames, `timeout` seconds at most (None: for ever). False when the time is over. Raises Error, ENXIO when the port is gone."""
        return bool(self._wait(select.POLLIN, timeout))

    def wait_tx(self, timeout: Optional[float] = None) -> bool:
        """Waits for room in a tx ring, likewise; what was filled leaves."""
        return bool(self._wait(select.POLLOUT, timeout))

    def flush(self, timeout: Optional[float] = None) -> None:
        """Until all that was put into the tx rings has left them. TimeoutError after `timeout` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            self.sync_tx()
            if all(len(ring) == ring.num_slots - 1 for ring in self.tx):
                return
            left = 0.01 if end is None else min(0.01, end - time.monotonic())
            if left <= 0:
                raise TimeoutError(f"{self.name}: frames are left in the tx ring after {timeout} s; is the receiver stopped?")
            # Room for one frame is not what we wait for: where there is some, only the receiver's progress is left to await.
            self._wait(select.POLLOUT, left)
            if any(len(ring) for ring in self.tx):
                time.sleep(0)

    def _wait(self, events: int, timeout: Optional[float], also: int = -1) -> int:
        self._check()
        entries = (_abi.Pollfd * 2)(_abi.Pollfd(self._fd, events, 0), _abi.Pollfd(also, select.POLLIN, 0))
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = -1 if end is None else max(0, int((end - time.monotonic()) * 1000 + 0.999))
            if library.poll(entries, 2 if also >= 0 else 1, left) >= 0:
                break
            code = ctypes.get_errno()
            if code != 4:  # EINTR: Python's signal handlers have run by the time we are here
                raise last_error(code, f"{self.name}: cannot wait")
        if entries[0].revents & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
            raise Error(6, f"{self.name}: the port is gone; open it again")
        return int(entries[0].revents)

    # --- asyncio ---

    async def readable(self) -> None:
        """Returns once there are frames to receive(). Cancelling it is safe."""
        await self._awaited(select.POLLIN)

    async def writable(self) -> None:
        """Returns once a tx ring has room."""
        await self._awaited(select.POLLOUT)

    async def frames(self) -> AsyncIterator[bytes]:
        """Every frame that arrives, copied, until the port is closed or the loop is left."""
        while not self.closed:
            await self.readable()
            for frame in self.receive():
                yield bytes(frame)

    async def _awaited(self, events: int) -> None:
        self._check()
        if self._waker is None:
            self._waker = _Waker()
        await self._waker.until(lambda stop: self._wait(events, None, stop))


class _Waker:
    """A thread that waits in the library's poll for an event loop, and a pipe that ends its wait."""

    def __init__(self) -> None:
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "unetmap")
        self._stop, self._end_wait = os.pipe()

    async def until(self, wait) -> None:  # type: ignore[no-untyped-def]
        waiting = self._thread.submit(wait, self._stop)
        try:
            await asyncio.wrap_future(waiting)
        except asyncio.CancelledError:
            self._end(waiting)
            raise

    def _end(self, waiting: "concurrent.futures.Future[int]") -> None:
        if waiting.done():
            return
        os.write(self._end_wait, b"!")
        concurrent.futures.wait([waiting])
        os.read(self._stop, 1)

    def close(self) -> None:
        os.close(self._end_wait)  # its other end is ready from now on
        self._thread.shutdown()
        os.close(self._stop)
