// SPDX-License-Identifier: BSD-2-Clause
// What a driver here needs of the world: a device's registers, and where the device finds netmap's buffers. No system
// calls; tests put a device model behind it.
#pragma once

#include <cstdint>

namespace unetmap::driver {

constexpr uint32_t kPageBytes = 4096;  // of which each lies in one piece for the device

// Of the one memory BAR that the driver uses. Little endian, aligned accesses of 1, 2 or 4 bytes.
class Registers {
 public:
  virtual ~Registers() = default;
  virtual uint32_t read(uint32_t offset, unsigned bytes) = 0;
  virtual void write(uint32_t offset, uint32_t value, unsigned bytes) = 0;
  uint32_t read32(uint32_t offset) { return read(offset, 4); }
  void write32(uint32_t offset, uint32_t value) { write(offset, value, 4); }
};

// netmap's buffers. Each begins `headroom` bytes into its piece of `buf_size` bytes, and pieces do not cross pages: so
// what a buffer holds up to the end of its piece, and what is before it, the device finds in one piece.
struct BufferMemory {
  uint8_t* bufs = nullptr;  // buffer 0
  uint32_t nbufs = 0, buf_size = 0, headroom = 0;
  const uint64_t* pages = nullptr;  // where the device finds each page, from the piece of buffer 0 on
  uint64_t page_count = 0;

  // Whether a program may have it in a slot.
  bool holds(uint32_t index) const { return index >= 2 && index + 1 < nbufs; }
  // Bytes of a buffer that packets may use.
  uint32_t room() const { return buf_size - headroom; }
  uint8_t* at(uint32_t index) const { return bufs + uint64_t{index} * buf_size; }
  // The device's address of byte `offset` of a buffer that holds(), -headroom and up. 0: in no page.
  uint64_t device_address(uint32_t index, int64_t offset) const {
    auto at = uint64_t(int64_t(uint64_t{index} * buf_size + headroom) + offset);
    uint64_t page = at / kPageBytes;
    return page < page_count ? pages[page] + at % kPageBytes : 0;
  }
};

}  // namespace unetmap::driver
