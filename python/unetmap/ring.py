# SPDX-License-Identifier: BSD-2-Clause
"""One netmap ring as Python sees it: slots, indexes and buffers, all in the port's own memory, none of it copied."""
import ctypes
import sys
from typing import Iterator, Optional, Sequence, Union

from . import _abi

Frame = Union[bytes, bytearray, memoryview]

# Where netmap_slot.len and .flags are in the second 32-bit word of a slot.
_LEN_SHIFT, _FLAGS_SHIFT = (0, 16) if sys.byteorder == "little" else (16, 0)
_WORDS = ctypes.sizeof(_abi.Slot) // 4
_HEAD, _CUR, _TAIL = (getattr(_abi.RingHead, name).offset // 4 for name in ("head", "cur", "tail"))
_MAX_FRAGMENTS = 64


class Ring:
    """A ``struct netmap_ring``. The program owns the slots [head, tail): on tx free to fill, on rx frames to read.

    ``slots`` is a writable memoryview of 32-bit words, four a slot (``buf_idx``, ``len`` and ``flags``, ``ptr`` in two);
    ``buffers`` is one of bytes, with buffer i at ``i * buf_size``. Both are the shared memory itself. They stay safe to
    touch after the port was closed, when they are nobody's any more.
    """

    def __init__(self, memory: memoryview, offset: int, is_tx: bool) -> None:
        head = _abi.RingHead.from_buffer(memory, offset)
        self.num_slots: int = head.num_slots
        self.buf_size: int = head.nr_buf_size
        self.ringid: int = head.ringid
        self.is_tx = is_tx
        self._index = memory[offset : offset + _abi.RING_SLOTS_OFFSET].cast("I")
        slots = offset + _abi.RING_SLOTS_OFFSET
        self.slots = memory[slots : slots + 4 * _WORDS * self.num_slots].cast("I")
        self.buffers = memory[offset + head.buf_ofs :]
        self.nbufs = len(self.buffers) // self.buf_size
        self._offset_mask: int = head.offset_mask

    @property
    def head(self) -> int:
        """First slot that is the program's."""
        return int(self._index[_HEAD])

    @property
    def tail(self) -> int:
        """First slot that is the service's."""
        return int(self._index[_TAIL])

    def __len__(self) -> int:
        """Slots that are the program's now: free ones on tx, frames' pieces on rx."""
        space: int = self._index[_TAIL] - self._index[_HEAD]
        return space if space >= 0 else space + self.num_slots

    def advance(self, slots: int) -> None:
        """Hands the first `slots` of ours over; the service takes notice at the next sync or poll. ValueError: more than ours."""
        if not 0 <= slots <= len(self):
            raise ValueError(f"advance by {slots}: only {len(self)} slots are the program's")
        self._move_to((self._index[_HEAD] + slots) % self.num_slots)

    def _move_to(self, head: int) -> None:
        self._index[_CUR] = head
        self._index[_HEAD] = head

    def put(self, frames: Sequence[Frame]) -> int:
        """Copies frames into our tx slots, in order, as many as there is room for. Returns how many; they leave at the next sync.

        A frame longer than ``buf_size`` takes several slots. ValueError: an empty frame, or one of more than 64 slots; those
        before it are in the ring.
        """
        index, slots, buffers, size, count = self._index, self.slots, self.buffers, self.buf_size, self.num_slots
        head = index[_HEAD]
        space = len(self)
        done = 0
        try:
            for frame in frames:
                length = len(frame)
                if space == 0:
                    break
                if not 0 < length <= size:
                    taken = self._put_long(frame, head, space)
                    if taken == 0:
                        break
                    head = (head + taken) % count
                    space -= taken
                    done += 1
                    continue
                word = 4 * head
                at = slots[word] * size
                buffers[at : at + length] = frame
                slots[word + 1] = length << _LEN_SHIFT
                head += 1
                if head == count:
                    head = 0
                space -= 1
                done += 1
        finally:
            self._move_to(head)
        return done

    def _put_long(self, frame: Frame, head: int, space: int) -> int:
        """The slots that it took; 0 when there are too few at the moment."""
        length, size = len(frame), self.buf_size
        pieces = (length + size - 1) // size
        if length == 0:
            raise ValueError("a frame of no bytes")
        if pieces > min(_MAX_FRAGMENTS, self.num_slots - 1):
            raise ValueError(f"a frame of {length} bytes: longer than {min(_MAX_FRAGMENTS, self.num_slots - 1)} buffers of {size}")
        if pieces > space:
            return 0
        view = memoryview(frame)
        for i in range(pieces):
            part = view[i * size : (i + 1) * size]
            word = 4 * ((head + i) % self.num_slots)
            at = self.slots[word] * size
            self.buffers[at : at + len(part)] = part
            flags = _abi.NS_MOREFRAG if i + 1 < pieces else 0
            self.slots[word + 1] = len(part) << _LEN_SHIFT | flags << _FLAGS_SHIFT
        return pieces

    def take(self, limit: Optional[int] = None) -> Iterator[memoryview]:
        """The frames of our rx slots, at most `limit`, each as a memoryview of its buffer, and gives their slots back as it goes.

        A view shows its frame until the next sync, wait or poll of the port; keep ``bytes(view)``. A frame in several slots is
        put together in a copy.
        """
        index, slots, buffers, size, count = self._index, self.slots, self.buffers, self.buf_size, self.num_slots
        tail = index[_TAIL]
        head = index[_HEAD]
        left = -1 if limit is None else limit
        while head != tail and left != 0:
            word = 4 * head
            state = slots[word + 1]
            length = state >> _LEN_SHIFT & 0xFFFF
            if state >> _FLAGS_SHIFT & _abi.NS_MOREFRAG or self._offset_mask:
                frame, head = self._gather(head, tail)
            else:
                at = slots[word] * size
                frame = buffers[at : at + min(length, size)]
                head = head + 1 if head + 1 < count else 0
            self._move_to(head)
            left -= 1
            yield frame

    def _gather(self, head: int, tail: int) -> "tuple[memoryview, int]":
        whole = bytearray()
        while True:
            word = 4 * head
            state = self.slots[word + 1]
            start = 0
            if self._offset_mask:
                pointer = int.from_bytes(self.slots[word + 2 : word + 4].tobytes(), sys.byteorder)
                start = min(pointer & self._offset_mask, self.buf_size)
            at = self.slots[word] * self.buf_size
            whole += self.buffers[at + start : at + min(start + (state >> _LEN_SHIFT & 0xFFFF), self.buf_size)]
            head = (head + 1) % self.num_slots
            if not state >> _FLAGS_SHIFT & _abi.NS_MOREFRAG or head == tail:
                return memoryview(whole), head
