// SPDX-License-Identifier: BSD-2-Clause
// What the small sending and receiving programs for the peers have in common: the frame, the counters that the bench
// reads while they run, and the request to stop.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace peer {

inline constexpr uint8_t kSenderMac[6] = {2, 0, 0, 0, 0, 1};
inline constexpr uint8_t kReceiverMac[6] = {2, 0, 0, 0, 0, 2};
inline constexpr size_t kMaxFrame = 2048;
inline constexpr size_t kHelloFrame = 60;

[[noreturn]] inline void fail(const char* action, const char* object) {
  std::fprintf(stderr, "%s: %s: %s\n", object, action, std::strerror(errno));
  std::exit(1);
}

// A frame of local experimental ethertype, from the sender to the receiver, or back so that switches learn the
// receiver.
inline void build_frame(uint8_t* frame, size_t length, bool from_receiver = false) {
  std::memset(frame, 0x5a, length);
  std::memcpy(frame, from_receiver ? kSenderMac : kReceiverMac, 6);
  std::memcpy(frame + 6, from_receiver ? kReceiverMac : kSenderMac, 6);
  frame[12] = 0x88;
  frame[13] = 0xb5;
}

// The same as a UDP datagram of flow `flow` of kFlows, for what looks into packets.
inline constexpr unsigned kFlows = 256;
inline void build_datagram(uint8_t* frame, size_t length, unsigned flow) {
  build_frame(frame, length);
  const size_t ip = length - 14, udp = ip - 20;
  const uint8_t header[28] = {0x45, 0, uint8_t(ip >> 8), uint8_t(ip), 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
                              uint8_t(0x80 | flow >> 8), uint8_t(flow), 0x20, 0, uint8_t(udp >> 8), uint8_t(udp), 0, 0};
  frame[12] = 0x08;
  frame[13] = 0x00;
  std::memcpy(frame + 14, header, sizeof header);
  uint32_t sum = 0;
  for (int i = 0; i < 20; i += 2) sum += uint32_t(header[i] << 8 | header[i + 1]);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = ~((sum & 0xffff) + (sum >> 16));
  frame[24] = uint8_t(sum >> 8);
  frame[25] = uint8_t(sum);
}

// Two counters in a file that the bench maps too; written by this process alone.
class Counters {
 public:
  explicit Counters(const char* path) {
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, 4096) != 0) fail("open", path);
    void* map = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) fail("mmap", path);
    close(fd);
    values_ = static_cast<std::atomic<uint64_t>*>(map);
  }
  void add(uint64_t packets, uint64_t bytes) {
    packets_ += packets;
    bytes_ += bytes;
    values_[0].store(packets_, std::memory_order_relaxed);
    values_[1].store(bytes_, std::memory_order_relaxed);
  }

 private:
  std::atomic<uint64_t>* values_ = nullptr;
  uint64_t packets_ = 0, bytes_ = 0;
};

inline volatile std::sig_atomic_t stop = 0;

// Without SA_RESTART, so that a blocked call returns and the loop sees the request.
inline void stop_on_signal() {
  struct sigaction action = {};
  action.sa_handler = [](int) { stop = 1; };
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
}

inline size_t parse_frame_length(const char* text) {
  const long length = std::strtol(text, nullptr, 10);
  if (length < 14 || length > 1514) {
    std::fprintf(stderr, "frame length %s: must be from 14 to 1514\n", text);
    std::exit(2);
  }
  return static_cast<size_t>(length);
}

}  // namespace peer
