// SPDX-License-Identifier: BSD-2-Clause
#include "dev/passthrough/device.hh"

#include <algorithm>
#include <cstring>

namespace unetmap::passthrough {
namespace {

uint32_t load_head(const nm_csb_atok& from) { return __atomic_load_n(&from.head, __ATOMIC_ACQUIRE); }

void publish(nm_csb_ktoa& to, uint32_t hwcur, uint32_t hwtail) {
  __atomic_store_n(&to.hwcur, hwcur, __ATOMIC_RELAXED);
  __atomic_store_n(&to.hwtail, hwtail, __ATOMIC_RELEASE);
}
// By a number that is new each time, 0 for no more.
void ask_for_kick(nm_csb_ktoa& to, uint32_t number) { __atomic_store_n(&to.kern_need_kick, number, __ATOMIC_RELAXED); }

}  // namespace

const char* describe(Fault fault) noexcept {
  switch (fault) {
    case Fault::kNone:
      return "in order";
    case Fault::kTxHead:
      return "the head of the transmit ring lies beyond the ring";
    case Fault::kTxBuffer:
      return "a slot to transmit names a buffer that is not there, or more bytes than it has";
    case Fault::kTxPacket:
      return "a packet to transmit has no end";
    case Fault::kRxHead:
      return "the head of the receive ring lies beyond what was received";
    case Fault::kRxBuffer:
      return "a slot to receive into names a buffer that is not there";
  }
  return "an unknown fault";
}

Counters& Counters::operator+=(const Counters& more) {
  for (auto field : {&Counters::rx_packets, &Counters::rx_bytes, &Counters::tx_packets, &Counters::tx_bytes,
                     &Counters::lost_malformed, &Counters::lost_too_long, &Counters::sessions, &Counters::faults,
                     &Counters::interrupts})
    this->*field += more.*field;
  return *this;
}

Device::Device(std::span<uint8_t> memory, uint32_t slots, const std::array<uint8_t, 6>& mac)
    : memory_(memory.data()), layout_{slots} {
  Header header{.magic = kMagic, .slots = slots, .buffer_bytes = kBufferBytes, .mac = {}};
  std::copy(mac.begin(), mac.end(), header.mac);
  memcpy(memory_, &header, sizeof header);
}

void Device::begin(uint32_t session) {
  session_ = session;
  tx_cur_ = tx_head_ = rx_head_ = rx_tail_ = rx_shown_ = 0;
  fetched_ = 0;
  news_tx_ = news_rx_ = false;
  fault_ = Fault::kNone;
  counters_.sessions += session != 0;
  ask_for_kick(host().tx, 0);
  ask_for_kick(host().rx, 0);
  publish(host().tx, 0, layout_.slots - 1);
  publish(host().rx, 0, 0);
  host().session.store(session, std::memory_order_release);
}

void Device::break_it(Fault fault) {
  fault_ = fault;
  fetched_ = 0;
  counters_.faults++;
}

bool Device::attend() {
  const uint32_t wanted = guest().session.load(std::memory_order_acquire);
  if (wanted != session_) [[unlikely]]
    begin(wanted);
  return listening();
}

// The packet whose first slot is `at`; its slots, 0 if its end has not been published.
uint32_t Device::load_frame(uint32_t at, size_t& piece, TxFrame& frame) {
  const size_t first = piece;
  uint64_t bytes = 0;
  for (uint32_t n = 0; at != tx_head_; at = after(at)) {
    const SlotWord slot = load_slot(tx_slots(), at);
    if (slot.buf_idx >= layout_.buffers() || slot.len > kBufferBytes) return break_it(Fault::kTxBuffer), 0;
    if (slot.len > 0) pieces_[piece++] = {memory_ + layout_.buffer(slot.buf_idx), slot.len};
    bytes += slot.len;
    n++;
    if (!(slot.flags & NS_MOREFRAG)) {
      frame = {uint32_t(bytes), {pieces_.data() + first, piece - first}};
      return n;
    }
    if (n == kMostPieces || n + 1 == layout_.slots) return break_it(Fault::kTxPacket), 0;
  }
  return 0;
}

size_t Device::fetch(std::span<TxFrame> frames) {
  fetched_ = 0;
  if (!listening()) return 0;
  tx_head_ = load_head(guest().tx);
  if (tx_head_ >= layout_.slots) return break_it(Fault::kTxHead), 0;
  const size_t most = std::min(frames.size(), kMostFrames);
  size_t piece = 0, count = 0;
  for (uint32_t at = tx_cur_; count < most && piece < kMostFrames && at != tx_head_;) {
    TxFrame& frame = frames[count];
    const uint32_t slots = load_frame(at, piece, frame);
    if (slots == 0) break;
    if (frame.bytes < kShortestFrame || frame.bytes > kLongestFrame) {
      if (count > 0) break;  // comes first next time
      piece = 0;
      counters_.lost_malformed++;
      at = tx_cur_ = (at + slots) & (layout_.slots - 1);
      publish_tx();
      continue;
    }
    at = (at + slots) & (layout_.slots - 1);
    ends_[count] = at;
    bytes_[count++] = frame.bytes;
  }
  if (fault_ != Fault::kNone) return 0;
  return fetched_ = count;
}

void Device::publish_tx() {
  publish(host().tx, tx_cur_, (tx_cur_ - 1) & (layout_.slots - 1));
  news_tx_ = true;
}

void Device::complete(size_t count) {
  count = std::min(count, fetched_);
  fetched_ = 0;
  if (count == 0) return;
  counters_.tx_packets += count;
  for (size_t i = 0; i < count; i++) counters_.tx_bytes += bytes_[i];
  tx_cur_ = ends_[count - 1];
  publish_tx();
}

// The driver's head moves over what it was shown, and no further.
bool Device::look_at_rx_head() {
  const uint32_t head = load_head(guest().rx);
  if (head >= layout_.slots || distance(rx_head_, head) > distance(rx_head_, rx_shown_))
    return break_it(Fault::kRxHead), false;
  rx_head_ = head;
  return true;
}

Delivery Device::deliver(std::span<const Piece> pieces) {
  if (!listening()) return Delivery::kBroken;
  uint64_t bytes = 0;
  for (const Piece& piece : pieces) bytes += piece.size();
  const uint64_t slots = std::max<uint64_t>((bytes + kBufferBytes - 1) / kBufferBytes, 1);
  if (slots > kMostPieces || slots >= layout_.slots) {
    counters_.lost_too_long++;
    return Delivery::kDropped;
  }
  if (layout_.slots - 1 - distance(rx_head_, rx_tail_) < slots) {
    if (!look_at_rx_head()) return Delivery::kBroken;
    if (layout_.slots - 1 - distance(rx_head_, rx_tail_) < slots) return Delivery::kNoRoom;
  }
  uint32_t at = rx_tail_;
  size_t source = 0, used = 0;  // of the pieces: the one, and the bytes of it that went
  for (uint64_t left = bytes, i = 0; i < slots; i++, at = after(at)) {
    SlotWord slot = load_slot(rx_slots(), at);
    if (slot.buf_idx >= layout_.buffers()) return break_it(Fault::kRxBuffer), Delivery::kBroken;
    const auto part = uint16_t(std::min<uint64_t>(left, kBufferBytes));
    uint8_t* to = memory_ + layout_.buffer(slot.buf_idx);
    for (uint32_t filled = 0; filled < part;) {
      const size_t now = std::min<size_t>(pieces[source].size() - used, part - filled);
      memcpy(to + filled, pieces[source].data() + used, now);
      filled += uint32_t(now);
      used += now;
      if (used == pieces[source].size()) source++, used = 0;
    }
    left -= part;
    store_slot(rx_slots(), at, {slot.buf_idx, part, uint16_t(left > 0 ? NS_MOREFRAG : 0)});
  }
  rx_tail_ = at;
  counters_.rx_packets++;
  counters_.rx_bytes += bytes;
  return Delivery::kDone;
}

void Device::finish() {
  if (!listening() || rx_tail_ == rx_shown_) return;
  rx_shown_ = rx_tail_;
  publish(host().rx, rx_head_, rx_shown_);
  news_rx_ = true;
}

// Store, full barrier, load: the driver does the same the other way round, and one of us sees the other's.
bool Device::arm(bool tx, bool rx) {
  armed_ = true;
  if (++request_ == 0) request_ = 1;
  ask_for_kick(host().tx, tx ? request_ : 0);
  ask_for_kick(host().rx, rx ? request_ : 0);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (guest().session.load(std::memory_order_relaxed) != session_) return true;
  if (!listening()) return false;
  return (tx && load_head(guest().tx) != tx_head_) || (rx && load_head(guest().rx) != rx_head_);
}

void Device::disarm() {
  if (!armed_) return;
  armed_ = false;
  ask_for_kick(host().tx, 0);
  ask_for_kick(host().rx, 0);
}

bool Device::take_interrupt() {
  if (!news_tx_ && !news_rx_) return false;
  std::atomic_thread_fence(std::memory_order_seq_cst);  // what was published came before
  const bool wanted = (news_tx_ && __atomic_load_n(&guest().tx.appl_need_kick, __ATOMIC_RELAXED)) ||
                      (news_rx_ && __atomic_load_n(&guest().rx.appl_need_kick, __ATOMIC_RELAXED));
  news_tx_ = news_rx_ = false;
  counters_.interrupts += wanted;
  return wanted;
}

void Device::close() { host().closed.store(1, std::memory_order_seq_cst); }

}  // namespace unetmap::passthrough
