// SPDX-License-Identifier: BSD-2-Clause
// Sole owner of a file descriptor.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

namespace unetmap {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  // The raw system call: libunetmap.so stands in front of close(2), and its own descriptors are not its clients'.
  void reset(int fd = -1) {
    if (fd_ >= 0) syscall(SYS_close, fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

}  // namespace unetmap
