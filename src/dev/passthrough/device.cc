// SPDX-License-Identifier: BSD-2-Clause
#include "dev/passthrough/device.hh"

#include <algorithm>
#include <cstring>

#include "vale/copy.hh"

namespace unetmap::passthrough {
namespace {

uint32_t load_head(const nm_csb_atok& from) { return __atomic_load_n(&from.head, __ATOMIC_ACQUIRE); }

void publish(nm_csb_ktoa& to, uint32_t hwcur, uint32_t hwtail) {
  __atomic_store_n(&to.hwcur, hwcur, __ATOMIC_RELAXED);
  __atomic_store_n(&to.hwtail, hwtail, __ATOMIC_RELEASE);
}
// By a number that is new each time, 0 for no more.
void ask_for_kick(nm_csb_ktoa& to, uint32_t number) { __atomic_store_n(&to.kern_need_kick, number, __ATOMIC_RELAXED); }

// No byte more, as whole lines would have: those behind a packet are no business of the guest's. Short ones by two
// halves that overlap.
void copy_exactly(uint8_t* to, const uint8_t* from, uint32_t count) {
  constexpr uint32_t kHalf = 32;
  if (count - kHalf > kHalf) [[unlikely]] {
    memcpy(to, from, count);
    return;
  }
  uint8_t first[kHalf], last[kHalf];
  memcpy(first, from, kHalf);
  memcpy(last, from + count - kHalf, kHalf);
  memcpy(to, first, kHalf);
  memcpy(to + count - kHalf, last, kHalf);
}

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

Device::Device(std::span<uint8_t> memory, uint32_t slots, uint32_t pairs, const std::array<uint8_t, 6>& mac)
    : memory_(memory.data()),
      layout_{slots, pairs},
      bufs_(memory_ + layout_.buffers_at()),
      buffers_(layout_.buffers()) {
  Header header{.magic = kMagic, .slots = slots, .pairs = pairs, .buffer_bytes = kBufferBytes, .mac = {}};
  std::copy(mac.begin(), mac.end(), header.mac);
  memcpy(memory_, &header, sizeof header);
  for (uint32_t i = 0; i < pairs; i++) pairs_.push_back(RingPair(*this, i));
}

void Device::begin(uint32_t session) {
  session_ = session;
  begun_++;
  fault_ = Fault::kNone;
  counters_.sessions += session != 0;
  for (RingPair& pair : pairs_) pair.begin();
  host().session.store(session, std::memory_order_release);
}

void Device::break_it(Fault fault) {
  fault_ = fault;
  counters_.faults++;
}

bool Device::attend() {
  const uint32_t wanted = guest().session.load(std::memory_order_acquire);
  if (wanted != session_) [[unlikely]]
    begin(wanted);
  return listening();
}

nm_csb_ktoa& RingPair::tx_host() const { return device_.host().pair[number_].tx; }
nm_csb_ktoa& RingPair::rx_host() const { return device_.host().pair[number_].rx; }
const nm_csb_atok& RingPair::tx_guest() const { return device_.guest().pair[number_].tx; }
const nm_csb_atok& RingPair::rx_guest() const { return device_.guest().pair[number_].rx; }
uint8_t* RingPair::tx_slots() const { return device_.memory_ + device_.layout_.tx_slots(number_); }
uint8_t* RingPair::rx_slots() const { return device_.memory_ + device_.layout_.rx_slots(number_); }
uint32_t RingPair::mask() const { return device_.layout_.slots - 1; }

void RingPair::begin() {
  tx_done_ = tx_cur_ = tx_head_ = rx_tail_ = rx_shown_ = 0;
  rx_head_ = 1;  // none of its slots is ours yet
  fetched_slots_ = 0;
  news_tx_ = news_rx_ = false;
  ask_for_kick(tx_host(), 0);
  ask_for_kick(rx_host(), 0);
  publish(tx_host(), 0, mask());
  publish(rx_host(), 0, 0);
}

Piece RingPair::bytes_of(SlotWord slot) const {
  return {device_.bufs_ + uint64_t{slot.buf_idx} * kBufferBytes, slot.len};
}

// The packet whose first slot is `at`, into fetched_ from number `count` on; its slots, 0 if its end has not been
// published.
uint32_t RingPair::load_packet(uint32_t at, uint32_t count, uint64_t& bytes) {
  for (uint32_t n = 0; at != tx_head_; at = after(at)) {
    const SlotWord slot = load_slot(tx_slots(), at);
    const bool more = slot.flags & NS_MOREFRAG;
    if (n == 0 && slot.len == 0 && !more) return fetched_[count] = {}, 1;
    if (slot.buf_idx - kFirstBuffer >= device_.buffers_ - kFirstBuffer || slot.len > kBufferBytes)
      return device_.break_it(Fault::kTxBuffer), 0;
    fetched_[count + n++] = {slot.buf_idx, slot.len, uint16_t(more ? NS_MOREFRAG : 0)};
    bytes += slot.len;
    if (!more) return n;
    if (n == kMostPieces || n + 1 == device_.layout_.slots) return device_.break_it(Fault::kTxPacket), 0;
  }
  return 0;
}

std::span<const SlotWord> RingPair::fetch() {
  fetched_slots_ = 0;
  if (!device_.listening()) return {};
  tx_head_ = load_head(tx_guest());
  if (tx_head_ > mask()) return device_.break_it(Fault::kTxHead), std::span<const SlotWord>();
  const uint8_t* const slots = tx_slots();
  const uint32_t most = distance(tx_cur_, tx_head_), usable = device_.buffers_ - kFirstBuffer;
  uint32_t count = 0, at = tx_cur_, packets = 0;
  uint64_t sum = 0;
  bool taken = false;  // a packet is among them
  while (count < kMostAtOnce && count < most) {
    const SlotWord slot = load_slot(slots, at);
    if (!(slot.flags & NS_MOREFRAG) && slot.buf_idx - kFirstBuffer < usable &&
        uint32_t{slot.len} - kShortestFrame <= kBufferBytes - kShortestFrame) [[likely]] {
      fetched_[count++] = {slot.buf_idx, slot.len, 0};
      at = after(at);
      packets++;
      sum += slot.len;
      taken = true;
      continue;
    }
    uint64_t bytes = 0;
    const uint32_t n = load_packet(at, count, bytes);
    if (n == 0) break;
    if (bytes >= kShortestFrame && bytes <= kLongestFrame) {
      packets++;
      sum += bytes;
      taken = true;
    } else if (bytes > 0 || n > 1) {
      if (taken) break;  // comes first next time
      device_.counters_.lost_malformed++;
      std::fill_n(fetched_.begin() + count, n, SlotWord{});
    }
    count += n;
    at = (at + n) & mask();
  }
  if (device_.fault_ != Fault::kNone) return {};
  tx_cur_ = at;
  fetched_slots_ = count;
  device_.counters_.tx_packets += packets;
  device_.counters_.tx_bytes += sum;
  return {fetched_.data(), count};
}

void RingPair::give_back(uint32_t from) {
  for (uint32_t i = from; i < fetched_slots_; i++) {
    if (fetched_[i].buf_idx == 0) continue;
    device_.counters_.tx_packets -= !(fetched_[i].flags & NS_MOREFRAG);
    device_.counters_.tx_bytes -= fetched_[i].len;
  }
  if (from < fetched_slots_) tx_cur_ = (tx_cur_ - (fetched_slots_ - from)) & mask();
  fetched_slots_ = std::min(fetched_slots_, from);
}

void RingPair::complete(uint32_t slots) {
  slots = std::min(slots, outstanding());
  if (slots == 0) return;
  tx_done_ = (tx_done_ + slots) & mask();
  publish(tx_host(), tx_done_, (tx_done_ - 1) & mask());
  news_tx_ = true;
}

// The driver's head moves over what it was shown, and no further.
bool RingPair::look_at_rx_head() {
  const uint32_t head = load_head(rx_guest());
  if (head > mask() || distance(rx_head_, head) > distance(rx_head_, rx_shown_))
    return device_.break_it(Fault::kRxHead), false;
  rx_head_ = head;
  return true;
}

// False: see fault().
bool RingPair::has_room(uint32_t slots) {
  if (rx_room() >= slots) return true;
  return look_at_rx_head() && rx_room() >= slots;
}

Delivery RingPair::deliver(const uint8_t* bytes, uint32_t count) {
  if (!device_.listening()) return Delivery::kBroken;
  if (!has_room(1)) return device_.listening() ? Delivery::kNoRoom : Delivery::kBroken;
  uint8_t* const slots = rx_slots();
  constexpr uint32_t kAhead = 4;
  const uint32_t soon = load_slot(slots, (rx_tail_ + kAhead) & mask()).buf_idx;
  vale::prefetch_to_write(device_.bufs_ + (soon < device_.buffers_ ? uint64_t{soon} * kBufferBytes : 0));
  const uint32_t buffer = load_slot(slots, rx_tail_).buf_idx;
  if (buffer - kNoBuffer >= device_.buffers_ - kNoBuffer)
    return device_.break_it(Fault::kRxBuffer), Delivery::kBroken;
  copy_exactly(device_.bufs_ + uint64_t{buffer} * kBufferBytes, bytes, count);
  store_slot(slots, rx_tail_, {buffer, uint16_t(count), 0});
  rx_tail_ = after(rx_tail_);
  device_.counters_.rx_packets++;
  device_.counters_.rx_bytes += count;
  return Delivery::kDone;
}

Delivery RingPair::deliver(std::span<const Piece> pieces) {
  if (!device_.listening()) return Delivery::kBroken;
  uint64_t bytes = 0;
  for (const Piece& piece : pieces) bytes += piece.size();
  const uint64_t slots = std::max<uint64_t>((bytes + kBufferBytes - 1) / kBufferBytes, 1);
  if (slots > kMostPieces || slots > mask()) {
    device_.counters_.lost_too_long++;
    return Delivery::kDropped;
  }
  if (!has_room(uint32_t(slots))) return device_.listening() ? Delivery::kNoRoom : Delivery::kBroken;
  uint32_t at = rx_tail_;
  size_t source = 0, used = 0;  // of the pieces: the one, and the bytes of it that went
  for (uint64_t left = bytes, i = 0; i < slots; i++, at = after(at)) {
    const uint32_t buffer = load_slot(rx_slots(), at).buf_idx;
    if (buffer - kNoBuffer >= device_.buffers_ - kNoBuffer)
      return device_.break_it(Fault::kRxBuffer), Delivery::kBroken;
    const auto part = uint16_t(std::min<uint64_t>(left, kBufferBytes));
    uint8_t* to = device_.bufs_ + uint64_t{buffer} * kBufferBytes;
    for (uint32_t filled = 0; filled < part;) {
      const size_t now = std::min<size_t>(pieces[source].size() - used, part - filled);
      memcpy(to + filled, pieces[source].data() + used, now);
      filled += uint32_t(now);
      used += now;
      if (used == pieces[source].size()) source++, used = 0;
    }
    left -= part;
    store_slot(rx_slots(), at, {buffer, part, uint16_t(left > 0 ? NS_MOREFRAG : 0)});
  }
  rx_tail_ = at;
  device_.counters_.rx_packets++;
  device_.counters_.rx_bytes += bytes;
  return Delivery::kDone;
}

void RingPair::finish() {
  if (!device_.listening() || rx_tail_ == rx_shown_) return;
  rx_shown_ = rx_tail_;
  publish(rx_host(), rx_head_, rx_shown_);
  news_rx_ = true;
}

// Store, full barrier, load: the driver does the same the other way round, and one of us sees the other's.
bool Device::arm(uint32_t tx, uint32_t rx) {
  armed_ = true;
  if (++request_ == 0) request_ = 1;
  for (const RingPair& pair : pairs_) {
    ask_for_kick(pair.tx_host(), tx >> pair.number_ & 1 ? request_ : 0);
    ask_for_kick(pair.rx_host(), rx >> pair.number_ & 1 ? request_ : 0);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (guest().session.load(std::memory_order_relaxed) != session_) return true;
  if (!listening()) return false;
  for (const RingPair& pair : pairs_)
    if ((tx >> pair.number_ & 1 && load_head(pair.tx_guest()) != pair.tx_head_) ||
        (rx >> pair.number_ & 1 && load_head(pair.rx_guest()) != pair.rx_head_))
      return true;
  return false;
}

void Device::disarm() {
  if (!armed_) return;
  armed_ = false;
  for (const RingPair& pair : pairs_) {
    ask_for_kick(pair.tx_host(), 0);
    ask_for_kick(pair.rx_host(), 0);
  }
}

bool Device::take_interrupt() {
  const auto news = [](const RingPair& pair) { return pair.news_tx_ || pair.news_rx_; };
  if (std::none_of(pairs_.begin(), pairs_.end(), news)) return false;
  std::atomic_thread_fence(std::memory_order_seq_cst);  // what was published came before
  bool wanted = false;
  for (RingPair& pair : pairs_) {
    wanted |= (pair.news_tx_ && __atomic_load_n(&pair.tx_guest().appl_need_kick, __ATOMIC_RELAXED)) ||
              (pair.news_rx_ && __atomic_load_n(&pair.rx_guest().appl_need_kick, __ATOMIC_RELAXED));
    pair.news_tx_ = pair.news_rx_ = false;
  }
  counters_.interrupts += wanted;
  return wanted;
}

void Device::close() { host().closed.store(1, std::memory_order_seq_cst); }

}  // namespace unetmap::passthrough
