// SPDX-License-Identifier: BSD-2-Clause
// A mapping of somebody else's file, which he may cut short at any time.
//
// Touching a page behind the end of a file raises SIGBUS. The handler installed here knows all windows: it puts private
// zero pages in the place of the whole window (huge pages cannot be replaced one small page at a time), sets the
// owner's flag and goes on. A fault elsewhere gets the treatment it had before.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/result.hh"

namespace unetmap::guest {

class SharedWindow {
 public:
  SharedWindow() = default;
  SharedWindow(SharedWindow&& other) noexcept { *this = static_cast<SharedWindow&&>(other); }
  SharedWindow& operator=(SharedWindow&& other) noexcept;
  ~SharedWindow();

  // Maps [offset, offset + bytes) of `fd`, read-write, shared; if not `writable`, with a copy of our own of each page
  // that is written here: a device that is told to write to memory that it may only read harms nobody. `broken` is set
  // when the file turns out to be shorter; it has to outlive the window. Errors: EINVAL the range wraps, is empty or
  // not in the file, or the file is of a kind that can block its readers for ever (a FUSE or network file system, a
  // device); ENOSPC too many windows.
  static Result<SharedWindow> map(int fd, uint64_t bytes, uint64_t offset, std::atomic<bool>& broken,
                                  bool writable = true);

  uint8_t* data() const { return data_; }
  uint64_t size() const { return bytes_; }

 private:
  uint8_t* data_ = nullptr;  // the first byte asked for
  uint64_t bytes_ = 0;
  uint8_t* map_ = nullptr;  // whole pages around it
  uint64_t map_bytes_ = 0;
  int slot_ = -1;  // in the handler's table
};

}  // namespace unetmap::guest
