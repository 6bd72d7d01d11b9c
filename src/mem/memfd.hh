// SPDX-License-Identifier: BSD-2-Clause
// Shared memory that cannot change its size, and mappings of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/fd.hh"
#include "base/result.hh"

namespace unetmap::mem {

// A sparse, zero-filled memfd of `bytes`, sealed against growing and shrinking, close-on-exec. Costs nothing until used.
Result<UniqueFd> create(const char* name, uint64_t bytes);

class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept : at_(std::exchange(other.at_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(at_, other.at_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Mapping();

  // Maps [0, bytes) of `fd` shared, read-write. EINVAL if the file is smaller or could still shrink.
  static Result<Mapping> map(int fd, uint64_t bytes);
  // The same of the memory of a device, which the kernel keeps from shrinking.
  static Result<Mapping> map_device(int fd, uint64_t bytes);

  // Puts the first `bytes` on huge pages where the kernel allows that (shmem_enabled); no matter if not. For memory that
  // is in heavy use: what was sparse in it no longer is.
  void use_huge_pages(uint64_t bytes) const;

  uint8_t* data() const { return at_; }
  uint64_t size() const { return bytes_; }
  explicit operator bool() const { return at_ != nullptr; }

 private:
  Mapping(uint8_t* at, uint64_t bytes) : at_(at), bytes_(bytes) {}
  uint8_t* at_ = nullptr;
  uint64_t bytes_ = 0;
};

}  // namespace unetmap::mem
