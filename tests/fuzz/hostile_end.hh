// SPDX-License-Identifier: BSD-2-Clause
// Hostile peers of a protocol whose messages have a header: what the fuzzers of vhost-user and vfio-user read from
// their input, and how they send it.
#pragma once

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/fd_message.hh"
#include "require.hh"

namespace unetmap::fuzz {

// u8 what  u8 how  u8 length  that many bytes.
struct Record {
  uint8_t what = 0, how = 0;
  std::span<const uint8_t> bytes;

  bool lies_over_good_payload() const { return how & 8; }
  bool is_whole_message() const { return how & 16; }
  bool has_flag() const { return how & 32; }
  bool reconnects() const { return how & 64; }
};

// Takes the next one off the input. False at its end.
inline bool take_record(std::span<const uint8_t>& input, Record& record) {
  if (input.size() < 3) return false;
  const size_t length = input[2] < input.size() - 3 ? input[2] : input.size() - 3;
  record = {input[0], input[1], input.subspan(3, length)};
  input = input.subspan(3 + length);
  return true;
}

template <class T>
size_t put(uint8_t* to, const T& value) {
  std::memcpy(to, &value, sizeof value);
  return sizeof value;
}

// A message with a header of type Header. Its bytes are valid as long as it is.
template <class Header>
class Message {
 public:
  // good_payload(to) writes one that the request can have, and tells its bytes; header(bytes) makes the header of a
  // payload of so many.
  template <class GoodPayload, class MakeHeader>
  Message(const Record& record, GoodPayload&& good_payload, MakeHeader&& header) : size_(record.bytes.size()) {
    const std::span<const uint8_t> from = record.bytes;
    if (record.is_whole_message()) {
      copy(from, bytes_);
      return;
    }
    uint8_t* const payload = bytes_ + sizeof(Header);
    size_t given = from.size();
    if (record.lies_over_good_payload()) {
      given = good_payload(payload);
      for (size_t i = 0; i < from.size() && i < given; i++) payload[i] ^= from[i];
    } else {
      copy(from, payload);
    }
    put(bytes_, header(static_cast<uint32_t>(given)));
    size_ = sizeof(Header) + given;
  }
  std::span<const uint8_t> bytes() const { return {bytes_, size_}; }

 private:
  static void copy(std::span<const uint8_t> from, uint8_t* to) {
    if (!from.empty()) std::memcpy(to, from.data(), from.size());
  }
  uint8_t bytes_[sizeof(Header) + 512] = {};
  size_t size_;
};

// One end of a socket pair whose other end is the peer's.
class HostileEnd {
 public:
  // Ends the connection there was. Returns the other end of a new one.
  UniqueFd connect() {
    int pair[2];
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0, "a socket pair");
    fd_ = UniqueFd(pair[0]);
    return UniqueFd(pair[1]);
  }
  // With the descriptors that the record wants: `memory`, or eventfds.
  void send(std::span<const uint8_t> bytes, uint8_t how, int memory) const {
    const size_t fds = how & 3;
    const bool events = how & 4;
    const UniqueFd event(fds > 0 && events ? eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) : -1);
    const std::vector<int> rights(fds, events ? event.get() : memory);
    const FdMessage message(bytes.data(), bytes.size(), rights);
    (void)!sendmsg(fd_.get(), message.header(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  ssize_t receive(std::span<uint8_t> to) const { return recv(fd_.get(), to.data(), to.size(), MSG_DONTWAIT); }

 private:
  UniqueFd fd_;
};

inline int open_descriptors() {
  int count = 0;
  for (int fd = 0; fd < 256; fd++) count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

// play(memory) with memory of a guest of so many bytes, all zero. No descriptor stays open.
template <class Play>
void play_with_memory(size_t bytes, Play&& play) {
  static const UniqueFd memory(memfd_create("guest", MFD_CLOEXEC));
  require(ftruncate(memory.get(), 0) == 0 && ftruncate(memory.get(), off_t(bytes)) == 0, "memory");
  const int before = open_descriptors();
  play(memory.get());
  require(open_descriptors() == before, "all descriptors are closed at the end");
}

}  // namespace unetmap::fuzz
