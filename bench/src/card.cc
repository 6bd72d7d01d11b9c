// SPDX-License-Identifier: BSD-2-Clause
// A driver of the e1000 in a process of its own: connects to the port's socket as QEMU does, shares its memory, and
// sends or receives frames as fast as descriptors come back. Like the clients of the peers it gives the CPU away
// whenever it found nothing to do, so that two of them can share one.
//   bench-card tx|rx SOCKET plain|paravirt FRAME_LENGTH COUNTER_FILE
#include <sched.h>

#include "../peers/client.hh"
#include "dev/e1000/csb.hh"
#include "dev/e1000/registers.hh"
#include "vale/copy.hh"
#include "vfio_client.hh"

namespace {

using namespace unetmap;
using namespace unetmap::e1000;

constexpr uint32_t kSlots = 1024, kBatch = 64;
// Buffers lie as far apart as DPDK's, with its headers between them: 2048 bytes apart their first lines would share few
// sets of a cache.
constexpr uint32_t kStride = 2304;
constexpr uint32_t kDescriptorsOfLine = 64 / kDescriptorBytes;
// Places of a receive ring that are given back at once: each time is a register access for the plain card.
constexpr uint32_t kGiveBack = 256;
constexpr uint64_t kTxRing = 0x10000, kRxRing = 0x20000, kBlock = 0x30000, kTxBuffers = 0x100'0000,
                   kRxBuffers = 0x200'0000, kMemory = 0x400'0000;
// Of the last byte of a descriptor's command: end of packet, checksum by the card, report what was sent.
constexpr uint32_t kWhole = 0x0300'0000, kReport = 0x0800'0000;
constexpr uint8_t kDone = 1;  // in its status

class Card {
 public:
  Card(const char* path, bool paravirt) : client_(path), paravirt_(paravirt) {
    const int fd = memfd_create("guest", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, kMemory) < 0) peer::fail("make", "guest memory");
    at_ = static_cast<uint8_t*>(mmap(nullptr, kMemory, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0));
    if (at_ == MAP_FAILED) peer::fail("mmap", "guest memory");
    client_.share(fd, 0, kMemory);
    client_.write(vfio_user::kConfig, 4, 7);  // memory, input/output, bus master
    for (uint32_t i = 0; i < kSlots; i++) describe(kRxRing, i, kRxBuffers + uint64_t{i} * kStride, 0);
    const std::pair<uint32_t, uint32_t> values[] = {{reg::kImc, ~0u},
                                                    {reg::kTdbal, uint32_t(kTxRing)},
                                                    {reg::kTdlen, kSlots * kDescriptorBytes},
                                                    {reg::kRdbal, uint32_t(kRxRing)},
                                                    {reg::kRdlen, kSlots * kDescriptorBytes},
                                                    {reg::kRctl, kRctlEn | kRctlUpe | kRctlSecrc},
                                                    {reg::kTctl, kTctlEn},
                                                    {reg::kCtrl, kCtrlSlu}};
    for (auto [offset, value] : values) client_.write(offset, value);
    if (paravirt_) {
      word(csb::kGuestTxkickAt) = csb::kNowhere;
      word(csb::kHostTxcyclesLim) = 1;
      client_.write(reg::kCsbal, uint32_t(kBlock));
      store_release32(at_ + kBlock + csb::kGuestCsbOn, 1);
    }
    post(kSlots - 1);
    (void)client_.read(reg::kStatus);  // all that was written has been done
  }

  // Hands over frames of `bytes` with this header, as many as there is room for, a batch at most.
  uint32_t send(const uint8_t (&header)[14], uint32_t bytes) {
    const uint32_t free = kSlots - 1 - (tx_ - clean());
    const uint32_t count = std::min(kBatch, free);
    // A batch is announced whole: the last of it alone reports, where there is no block.
    if (count < kBatch) return 0;
    // As the DPDK clients do: what is about to be written is asked for first, all of it at once.
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t slot = (tx_ + i) % kSlots;
      vale::prefetch_to_write(at_ + kTxBuffers + uint64_t{slot} * kStride);
      if (slot % kDescriptorsOfLine == 0) vale::prefetch_to_write(at_ + kTxRing + uint64_t{slot} * kDescriptorBytes);
    }
    for (uint32_t i = 0; i < count; i++, tx_++) {
      const uint32_t slot = tx_ % kSlots;
      const uint64_t buffer = kTxBuffers + uint64_t{slot} * kStride;
      std::memcpy(at_ + buffer, header, sizeof header);
      describe(kTxRing, slot, buffer, bytes | kWhole | (i + 1 == count && !paravirt_ ? kReport : 0));
    }
    if (!paravirt_) {
      client_.write(reg::kTdt, tx_ % kSlots);
    } else {
      store_release32(at_ + kBlock + csb::kGuestTdt, tx_ % kSlots);
      std::atomic_thread_fence(std::memory_order_seq_cst);
      if (load_relaxed32(at_ + kBlock + csb::kHostNeedTxkick)) client_.write(reg::kTdt, tx_ % kSlots);
    }
    return count;
  }

  // Looks at what has come and gives its places back. Frames and bytes.
  std::pair<uint32_t, uint64_t> receive() {
    uint32_t count = 0, most = kBatch;
    uint64_t bytes = 0;
    // The block says how many there are, without a look at a descriptor that is being written.
    if (paravirt_) most = std::min(most, (load_acquire32(at_ + kBlock + csb::kHostRdh) - rx_) % kSlots);
    if (paravirt_)
      for (uint32_t i = 0; i < most; i++) {
        const uint32_t slot = (rx_ + i) % kSlots;
        __builtin_prefetch(at_ + kRxBuffers + uint64_t{slot} * kStride);
        if (slot % kDescriptorsOfLine == 0) vale::prefetch_to_write(at_ + kRxRing + uint64_t{slot} * kDescriptorBytes);
      }
    for (; count < most; count++, rx_++) {
      const uint32_t slot = rx_ % kSlots;
      uint8_t* const at = at_ + kRxRing + uint64_t{slot} * kDescriptorBytes;
      if (!paravirt_ && !(__atomic_load_n(at + 12, __ATOMIC_ACQUIRE) & kDone)) break;
      uint16_t length;
      std::memcpy(&length, at + 8, sizeof length);
      bytes += length;
      checksum_ += at_[kRxBuffers + uint64_t{slot} * kStride];
      describe(kRxRing, slot, kRxBuffers + uint64_t{slot} * kStride, 0);
    }
    if (count > 0 && (given_ += count) >= kGiveBack) post((rx_ + kSlots - 1) % kSlots);
    return {count, bytes};
  }
  uint64_t checksum() const { return checksum_; }

 private:
  uint32_t& word(unsigned offset) { return *reinterpret_cast<uint32_t*>(at_ + kBlock + offset); }
  void describe(uint64_t ring, uint32_t slot, uint64_t buffer, uint64_t rest) {
    uint8_t* const at = at_ + ring + uint64_t{slot} * kDescriptorBytes;
    std::memcpy(at, &buffer, sizeof buffer);
    std::memcpy(at + 8, &rest, sizeof rest);
  }
  // Up to where the card has sent; counts as tx_ does.
  uint32_t clean() {
    if (paravirt_) {
      clean_ += (load_acquire32(at_ + kBlock + csb::kHostTdh) - clean_) % kSlots;
      return clean_;
    }
    while (clean_ != tx_) {
      const uint8_t* const last = at_ + kTxRing + uint64_t{(clean_ + kBatch - 1) % kSlots} * kDescriptorBytes;
      if (!(__atomic_load_n(last + 12, __ATOMIC_ACQUIRE) & kDone)) break;
      clean_ += kBatch;
    }
    return clean_;
  }
  void post(uint32_t tail) {
    given_ = 0;
    if (!paravirt_) return client_.write(reg::kRdt, tail);
    store_release32(at_ + kBlock + csb::kGuestRdt, tail);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (load_relaxed32(at_ + kBlock + csb::kHostNeedRxkick)) return client_.write(reg::kRdt, tail);
    const uint32_t kick_at = load_relaxed32(at_ + kBlock + csb::kHostRxkickAt);
    if (kick_at != csb::kNowhere && (tail - kick_at) % kSlots < kSlots / 2) client_.write(reg::kRdt, tail);
  }

  peer::VfioClient client_;
  bool paravirt_;
  uint8_t* at_ = nullptr;
  uint32_t tx_ = 0, clean_ = 0, rx_ = 0, given_ = 0;
  uint64_t checksum_ = 0;
};

void transmit(Card& card, uint32_t bytes, peer::Counters& counters) {
  uint8_t header[14];
  peer::build_frame(header, sizeof header);
  while (!peer::stop) {
    const uint32_t sent = card.send(header, bytes);
    if (sent == 0) sched_yield();
    counters.add(sent, uint64_t{sent} * bytes);
  }
}

void receive(Card& card, peer::Counters& counters) {
  // So that the switch knows where this one is.
  uint8_t header[14];
  peer::build_frame(header, sizeof header, true);
  card.send(header, peer::kHelloFrame);
  while (!peer::stop) {
    auto [packets, bytes] = card.receive();
    if (packets == 0) sched_yield();
    counters.add(packets, bytes);
  }
  // Keeps the reads of the frames from being optimised away.
  std::fprintf(stderr, "checksum of first bytes %lu\n", static_cast<unsigned long>(card.checksum()));
}

}  // namespace

int main(int argc, char** argv) {
  const bool known = argc == 6 && (!std::strcmp(argv[1], "tx") || !std::strcmp(argv[1], "rx")) &&
                     (!std::strcmp(argv[3], "plain") || !std::strcmp(argv[3], "paravirt"));
  if (!known) {
    std::fprintf(stderr, "usage: bench-card tx|rx SOCKET plain|paravirt FRAME_LENGTH COUNTER_FILE\n");
    return 2;
  }
  const auto bytes = static_cast<uint32_t>(peer::parse_frame_length(argv[4]));
  peer::Counters counters(argv[5]);
  peer::stop_on_signal();
  Card card(argv[2], !std::strcmp(argv[3], "paravirt"));
  argv[1][0] == 't' ? transmit(card, bytes, counters) : receive(card, counters);
}
