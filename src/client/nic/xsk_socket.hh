// SPDX-License-Identifier: BSD-2-Clause
// The four rings of an AF_XDP socket, as mapped here. The keeper made the socket; the kernel is the other side of each
// ring, and every process that holds the socket maps the same memory, so indices are range-checked like any foreign
// word.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "base/fd.hh"
#include "base/result.hh"
#include "wire/messages.hh"

namespace unetmap::client {

class XskSocket {
 public:
  struct Ring {
    std::atomic<uint32_t>* producer = nullptr;
    std::atomic<uint32_t>* consumer = nullptr;
    std::atomic<uint32_t>* flags = nullptr;
    void* entries = nullptr;  // xdp_desc of rx and tx, u64 addresses of fill and completion
    uint32_t size = 0;
    void* map = nullptr;
    size_t bytes = 0;

    // Entries that the producer has published, at most `size`; 0 if the indices make no sense.
    uint32_t filled() const {
      uint32_t n = producer->load(std::memory_order_acquire) - consumer->load(std::memory_order_relaxed);
      return n <= size ? n : 0;
    }
    uint32_t room() const {
      uint32_t n = producer->load(std::memory_order_relaxed) - consumer->load(std::memory_order_acquire);
      return n <= size ? size - n : 0;
    }
    bool needs_wakeup() const;
  };

  static Result<std::shared_ptr<XskSocket>> map(UniqueFd fd, const wire::NicInfo& info);
  ~XskSocket();
  XskSocket(const XskSocket&) = delete;
  XskSocket& operator=(const XskSocket&) = delete;

  int fd() const { return fd_.get(); }
  // Has the kernel look at the tx ring until it has taken all, or takes no more for now. An errno value.
  int kick_tx() const;
  void kick_rx() const;

  Ring rx, tx, fill, completion;

 private:
  explicit XskSocket(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace unetmap::client
