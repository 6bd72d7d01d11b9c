// SPDX-License-Identifier: BSD-2-Clause
#include "dev/virtio_net/tx_queue.hh"

#include <algorithm>

#include "guest/words.hh"

namespace unetmap::virtio {
namespace {

constexpr uint32_t kAddressBytes = 12;
constexpr int kMaxRoundsOfRubbish = 4;  // then the caller gets a chance to do something else

// In registers, from memory that the guest still writes.
vale::VnetHdr load_header(const uint8_t* at) noexcept {
  const auto low = load_once<uint64_t>(at);
  return {.flags = static_cast<uint8_t>(low),
          .gso_type = static_cast<uint8_t>(low >> 8),
          .hdr_len = static_cast<uint16_t>(low >> 16),
          .gso_size = static_cast<uint16_t>(low >> 32),
          .csum_start = static_cast<uint16_t>(low >> 48),
          .csum_offset = load_once<uint16_t>(at + 8)};
}

}  // namespace

RingFault TxQueue::start(const guest::GuestMemory& memory, const RingSetup& setup) noexcept {
  agreed_ = host_offloads(setup.features);
  asks_ = agreed_ != Offloads{};
  header_bytes_ = static_cast<uint32_t>(header_bytes(setup.features));
  batch_ = nullptr;
  fetched_ = 0;
  return ring_.start(memory, setup);
}

HeaderFault TxQueue::read_packet(ChainBatch& batch, size_t index, TxPacket& packet) noexcept {
  const Chain& chain = batch[index];
  if (chain.readable_bytes < header_bytes_) return HeaderFault::kNoHeader;
  uint8_t copy[vale::kVnetHdrMrgBytes];
  const uint8_t* const header = batch.take_front(index, header_bytes_, copy);
  // Without any agreement the header says nothing, and need not be fetched from the driver's cache.
  packet.hdr = asks_ ? load_header(header) : vale::VnetHdr{};
  packet.bytes = chain.readable_bytes;
  packet.frame = batch.readable(chain);
  return check_sent(packet.hdr, chain.readable_bytes, agreed_);
}

size_t TxQueue::fetch(ChainBatch& batch, std::span<TxPacket> packets) noexcept {
  batch_ = &batch;
  fetched_ = 0;
  for (int round = 0; round < kMaxRoundsOfRubbish; round++) {
    batch.clear();
    first_ = 0;
    const size_t taken = ring_.take(batch, std::min(packets.size(), kMaxFetch));
    for (size_t i = 0; i < taken; i++) {
      const Chain& chain = batch[i];
      if (chain.readable == 0) {
        ring_.breaks(RingFault::kNothingToRead);
        return 0;
      }
      const Piece& first = batch.readable(chain)[0];
      if (asks_) __builtin_prefetch(first.at);
      // The frame mostly begins behind the header, and often in another cache line.
      __builtin_prefetch(first.at + std::min(header_bytes_ + kAddressBytes, first.bytes - 1));
    }
    for (size_t i = 0; i < taken; i++) {
      const HeaderFault fault = read_packet(batch, i, packets[fetched_]);
      if (fault == HeaderFault::kNone) [[likely]] {
        frame_bytes_[fetched_] = packets[fetched_].bytes;
        fetched_++;
        continue;
      }
      // Bad ones are given back while they are the oldest; one in the middle ends the batch and comes first next time.
      if (fetched_ > 0) return fetched_;
      counters_.dropped[static_cast<size_t>(fault)]++;
      ring_.give_read(batch, i, 1);
      first_ = i + 1;
    }
    if (fetched_ > 0 || taken == 0) return fetched_;
  }
  return 0;
}

bool TxQueue::complete(size_t accepted) noexcept {
  accepted = std::min(accepted, fetched_);
  if (accepted > 0) {
    ring_.give_read(*batch_, first_, accepted);
    counters_.packets += accepted;
    for (size_t i = 0; i < accepted; i++) counters_.bytes += frame_bytes_[i];
  }
  fetched_ = 0;
  const bool call = ring_.finish();
  counters_.calls += call;
  return call;
}

}  // namespace unetmap::virtio
