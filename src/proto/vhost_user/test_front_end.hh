// SPDX-License-Identifier: BSD-2-Clause
// A front-end for tests: the other end of the socket, which may send whatever it likes.
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

#include "base/fd_message.hh"
#include "proto/vhost_user/messages.hh"

namespace unetmap::vhost_user {

class TestFrontEnd {
 public:
  explicit TestFrontEnd(int socket) : socket_(socket) {}
  ~TestFrontEnd() { close(socket_); }
  TestFrontEnd(const TestFrontEnd&) = delete;

  int fd() const { return socket_; }

  void send_raw(const void* bytes, size_t size, const std::vector<int>& fds = {}) {
    const FdMessage message(bytes, size, fds);
    ASSERT_EQ(sendmsg(socket_, message.header(), MSG_NOSIGNAL), ssize_t(size));
  }

  void send(Id id, const void* payload, uint32_t size, const std::vector<int>& fds = {}, uint32_t flags = kVersion) {
    std::string bytes(sizeof(Header) + size, '\0');
    Header header{uint32_t(id), flags, size};
    memcpy(bytes.data(), &header, sizeof header);
    if (size) memcpy(bytes.data() + sizeof header, payload, size);
    send_raw(bytes.data(), bytes.size(), fds);
  }
  void send(Id id, const std::vector<int>& fds = {}) { send(id, nullptr, 0, fds); }
  template <class T>
  void send_value(Id id, const T& value, const std::vector<int>& fds = {}, uint32_t flags = kVersion) {
    send(id, &value, sizeof value, fds, flags);
  }
  void send_u64(Id id, uint64_t value, const std::vector<int>& fds = {}, uint32_t flags = kVersion) {
    send_value(id, value, fds, flags);
  }

  bool has_answer(int timeout_ms = 0) {
    pollfd entry{socket_, POLLIN, 0};
    return poll(&entry, 1, timeout_ms) == 1 && (entry.revents & POLLIN);
  }
  template <class T>
  T answer(Id id) {
    T value{};
    Header header{};
    EXPECT_EQ(recv(socket_, &header, sizeof header, MSG_WAITALL), ssize_t(sizeof header));
    EXPECT_EQ(header.request, uint32_t(id));
    EXPECT_EQ(header.flags, kVersion | kReply);
    EXPECT_EQ(header.size, sizeof value);
    EXPECT_EQ(recv(socket_, &value, sizeof value, MSG_WAITALL), ssize_t(sizeof value));
    return value;
  }

 private:
  int socket_;
};

inline int test_memfd(uint64_t bytes) {
  int fd = memfd_create("guest", MFD_CLOEXEC);
  EXPECT_EQ(ftruncate(fd, off_t(bytes)), 0);
  return fd;
}

// Descriptors that this process has open.
inline size_t open_descriptors() {
  size_t count = 0;
  for (int fd = 0; fd < 1024; fd++) count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

}  // namespace unetmap::vhost_user
