// SPDX-License-Identifier: BSD-2-Clause
// A port without a service, for tests: one tx and one rx ring of 8 slots and 64-byte buffers, in memory of our own.
#pragma once

#include <net/netmap_user.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <string>

class FakePort {
 public:
  static constexpr uint32_t kSlots = 8;
  static constexpr uint32_t kBufSize = 64;

  explicit FakePort(uint64_t offset_mask = 0) {
    char* base = memory_.data();
    nifp_ = reinterpret_cast<netmap_if*>(base);
    put(&nifp_->ni_tx_rings, 1);
    put(&nifp_->ni_rx_rings, 1);
    for (int i = 0; i < 2; ++i) {
      put(&nifp_->ring_ofs[i], 512 + i * 1024);
      ring_[i] = reinterpret_cast<netmap_ring*>(base + 512 + i * 1024);
      put(&ring_[i]->num_slots, kSlots);
      put(&ring_[i]->nr_buf_size, kBufSize);
      put(&ring_[i]->buf_ofs, 4096 - (512 + i * 1024));
      put(&ring_[i]->offset_mask, offset_mask);
      for (uint32_t slot = 0; slot < kSlots; ++slot) ring_[i]->slot[slot].buf_idx = 2 + i * kSlots + slot;
    }
  }

  netmap_if* nifp() { return nifp_; }
  netmap_ring* tx() { return ring_[0]; }
  netmap_ring* rx() { return ring_[1]; }

  // Puts data into an rx slot, which becomes the last received.
  void receive(uint32_t slot, const std::string& data, uint16_t flags = 0) {
    std::memcpy(NETMAP_BUF(rx(), rx()->slot[slot].buf_idx), data.data(), data.size());
    rx()->slot[slot].len = static_cast<uint16_t>(data.size());
    rx()->slot[slot].flags = flags;
    rx()->tail = nm_ring_next(rx(), slot);
  }

 private:
  template <class T>
  static void put(const T* field, int64_t value) {
    *const_cast<T*>(field) = static_cast<T>(value);
  }

  alignas(NM_CACHE_ALIGN) std::array<char, 1 << 14> memory_{};
  netmap_if* nifp_;
  netmap_ring* ring_[2];
};
