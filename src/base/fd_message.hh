// SPDX-License-Identifier: BSD-2-Clause
// A message for sendmsg(2) whose bytes have file descriptors beside them.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstring>
#include <span>

namespace unetmap {

class FdMessage {
 public:
  static constexpr size_t kMaxFds = 64;

  // `fds`: kMaxFds at most. The bytes stay the caller's.
  FdMessage(const void* bytes, size_t size, std::span<const int> fds) : FdMessage({&own_part_, 1}, fds) {
    own_part_ = {const_cast<void*>(bytes), size};
  }
  FdMessage(std::span<iovec> parts, std::span<const int> fds) {
    header_.msg_iov = parts.data();
    header_.msg_iovlen = parts.size();
    if (fds.empty()) return;
    header_.msg_control = control_;
    header_.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* const rights = CMSG_FIRSTHDR(&header_);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  FdMessage(const FdMessage&) = delete;
  FdMessage& operator=(const FdMessage&) = delete;

  const msghdr* header() const { return &header_; }

 private:
  iovec own_part_{};
  alignas(cmsghdr) char control_[CMSG_SPACE(sizeof(int) * kMaxFds)] = {};
  msghdr header_{};
};

}  // namespace unetmap
