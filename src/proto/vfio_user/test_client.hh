// SPDX-License-Identifier: BSD-2-Clause
// A client for tests: the other end of the socket, which may send whatever it likes.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/fd.hh"
#include "base/fd_message.hh"
#include "proto/vfio_user/messages.hh"

namespace unetmap::vfio_user {

class TestClient {
 public:
  struct Answer {
    Header header{};
    std::string payload;
    template <class T>
    T as() const {
      T value{};
      EXPECT_GE(payload.size(), sizeof value);
      memcpy(&value, payload.data(), std::min(payload.size(), sizeof value));
      return value;
    }
    // errno; 0: none
    uint32_t error() const { return header.flags & kError ? header.error : 0; }
  };

  explicit TestClient(UniqueFd socket) : socket_(std::move(socket)) {}

  int fd() const { return socket_.get(); }
  void close() { socket_.reset(); }

  void send_raw(const void* bytes, size_t size, const std::vector<int>& fds = {}) {
    const FdMessage message(bytes, size, fds);
    ASSERT_EQ(sendmsg(fd(), message.header(), MSG_NOSIGNAL), ssize_t(size));
  }
  void send(Command command, const std::string& payload = {}, const std::vector<int>& fds = {}, uint32_t flags = 0) {
    Header header{++last_id_, uint16_t(command), uint32_t(sizeof(Header) + payload.size()), flags, 0};
    std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
    bytes += payload;
    send_raw(bytes.data(), bytes.size(), fds);
  }
  template <class T>
  static std::string bytes_of(const T& value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
  }

  bool has_answer(int timeout_ms = 0) {
    pollfd entry{fd(), POLLIN, 0};
    return poll(&entry, 1, timeout_ms) == 1 && (entry.revents & POLLIN);
  }
  Answer answer() {
    Answer out;
    EXPECT_EQ(recv(fd(), &out.header, sizeof out.header, MSG_WAITALL), ssize_t(sizeof out.header));
    EXPECT_EQ(out.header.flags & kTypeMask, kReply);
    if (out.header.size > sizeof out.header) {
      out.payload.resize(out.header.size - sizeof out.header);
      EXPECT_EQ(recv(fd(), out.payload.data(), out.payload.size(), MSG_WAITALL), ssize_t(out.payload.size()));
    }
    return out;
  }
  uint16_t last_id() const { return last_id_; }

 private:
  UniqueFd socket_;
  uint16_t last_id_ = 0;
};

inline UniqueFd test_memfd(uint64_t bytes) {
  UniqueFd fd(memfd_create("guest", MFD_CLOEXEC));
  EXPECT_EQ(ftruncate(fd.get(), off_t(bytes)), 0);
  return fd;
}

// Times that an eventfd was written since the last look.
inline uint64_t events(int fd) {
  uint64_t count = 0;
  if (read(fd, &count, sizeof count) < 0) return 0;
  return count;
}

}  // namespace unetmap::vfio_user
