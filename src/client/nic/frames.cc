// SPDX-License-Identifier: BSD-2-Clause
#include "client/nic/frames.hh"

#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/count.hh"
#include "client/link/clock.hh"
#include "vale/slot.hh"
namespace unetmap::client {
namespace {

constexpr uint32_t kShortestFrame = 14, kMaxFrags = 64, kTagBytes = 4;
constexpr uint32_t kMaxFrame = 65535 + 14 + 2 * kTagBytes;  // IP's longest, with VLAN tags
constexpr uint32_t kMostPerSync = 512;
constexpr uint64_t kPatience_ms = 100;  // longer than any queue of an interface with a link stands still

bool for_later(int error) { return error == EAGAIN || error == EINTR || error == ENOBUFS; }

class TapChannel final : public FrameChannel {
 public:
  using FrameChannel::FrameChannel;
  uint32_t send(Frame* frames, uint32_t count, int& error) override {
    for (uint32_t i = 0; i < count; i++)
      if (syscall(SYS_write, fd_, frames[i].data, frames[i].len) < 0) {
        // A frame that the stack refuses is lost, and nothing else with it.
        if (for_later(errno)) return i;
        if (errno == EBADFD || errno == EIO) return error = errno, i;
        frames[i].len = 0;
      }
    return count;
  }
  uint32_t receive(Frame* frames, uint32_t count) override {
    for (uint32_t i = 0; i < count; i++) {
      iovec parts[2] = {{frames[i].data, frames[i].len}, {frames[i].more, kMoreBytes}};
      long n = syscall(SYS_readv, fd_, parts, 2);
      if (n < 0) return i;
      frames[i].len = uint32_t(n);
    }
    return count;
  }
};

class PacketChannel final : public FrameChannel {
 public:
  using FrameChannel::FrameChannel;
  uint32_t send(Frame* frames, uint32_t count, int& error) override {
    mmsghdr messages[kBatch] = {};
    iovec parts[kBatch];
    for (uint32_t i = 0; i < count; i++) {
      parts[i] = {frames[i].data, frames[i].len};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    long n = syscall(SYS_sendmmsg, fd_, messages, count, MSG_DONTWAIT);
    if (n > 0) {
      since_ms_ = 0;
      for (long i = 0; i < n; i++)
        if (frames[i].len >= given_up_) given_up_ = UINT32_MAX;
    }
    if (n >= 0) return uint32_t(n);
    const int why = errno;
    if (for_later(why) && !(why == ENOBUFS && dropped(frames[0].len))) return 0;
    if (why == ENETDOWN || why == ENXIO || why == ENODEV) return error = why, 0;
    frames[0].len = 0;  // this one the interface does not take, too long for instance
    return 1;
  }
  uint32_t receive(Frame* frames, uint32_t count) override {
    mmsghdr messages[kBatch] = {};
    iovec parts[kBatch][2];
    alignas(cmsghdr) uint8_t control[kBatch][CMSG_SPACE(sizeof(tpacket_auxdata))];
    for (uint32_t i = 0; i < count; i++) {
      parts[i][0] = {frames[i].data, frames[i].len};
      parts[i][1] = {frames[i].more, kMoreBytes};
      messages[i].msg_hdr.msg_iov = parts[i];
      messages[i].msg_hdr.msg_iovlen = 2;
      messages[i].msg_hdr.msg_control = control[i];
      messages[i].msg_hdr.msg_controllen = sizeof control[i];
    }
    long n = syscall(SYS_recvmmsg, fd_, messages, count, MSG_DONTWAIT, nullptr);
    for (long i = 0; i < n; i++) {
      frames[i].len = messages[i].msg_len;
      frames[i].tag = frames[i].len < kShortestFrame ? 0 : tag_of(messages[i].msg_hdr);
    }
    return n < 0 ? 0 : uint32_t(n);
  }

 private:
  // ENOBUFS is a full queue, and as well a driver that drops the frame, as a veth does with what is too long for its
  // other end. A queue moves in time; a frame that does not is dropped, and others of its length are after it at once.
  bool dropped(uint32_t len) {
    if (len < given_up_) {
      const uint64_t now = coarse_ms();
      if (since_ms_ == 0) since_ms_ = now;
      if (now - since_ms_ < kPatience_ms) return false;
    }
    since_ms_ = 0;
    if (!has_link()) return false;  // whose frames wait for it
    given_up_ = std::min(given_up_, len);
    return true;
  }
  bool has_link() const {
    sockaddr_ll bound = {};
    socklen_t size = sizeof bound;
    ifreq asked = {};
    if (syscall(SYS_getsockname, fd_, &bound, &size) < 0) return false;
    asked.ifr_ifindex = bound.sll_ifindex;
    return syscall(SYS_ioctl, fd_, SIOCGIFNAME, &asked) == 0 && syscall(SYS_ioctl, fd_, SIOCGIFFLAGS, &asked) == 0 &&
           (asked.ifr_flags & IFF_RUNNING);
  }
  // The kernel took the VLAN tag out of the frame and tells it beside.
  static uint32_t tag_of(const msghdr& message) {
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(const_cast<msghdr*>(&message), c)) {
      if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA) continue;
      tpacket_auxdata aux;
      memcpy(&aux, CMSG_DATA(c), sizeof aux);
      if (!(aux.tp_status & TP_STATUS_VLAN_VALID)) return 0;
      uint32_t type = aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid : 0x8100;
      return type << 16 | aux.tp_vlan_tci;
    }
    return 0;
  }

  uint64_t since_ms_ = 0;           // when the first frame was refused that is not sent yet; 0 for none
  uint32_t given_up_ = UINT32_MAX;  // the shortest frame that was dropped, until one of its length goes
};

// Makes room for a tag behind the addresses.
void insert_tag(uint8_t* frame, uint32_t len, uint32_t tag) {
  constexpr uint32_t kAt = 12;
  memmove(frame + kAt + kTagBytes, frame + kAt, len - kAt);
  const uint8_t bytes[kTagBytes] = {uint8_t(tag >> 24), uint8_t(tag >> 16), uint8_t(tag >> 8), uint8_t(tag)};
  memcpy(frame + kAt, bytes, sizeof bytes);
}

}  // namespace

std::unique_ptr<FrameChannel> tap_channel(int fd) { return std::make_unique<TapChannel>(fd); }
std::unique_ptr<FrameChannel> packet_channel(int fd) { return std::make_unique<PacketChannel>(fd); }

// The packet at `at`, with its fragments in one piece. Returns its slots, 0 if its end is not there yet; a frame of no
// bytes is one that cannot be sent.
uint32_t FrameTx::load(uint32_t at, uint32_t head, FrameChannel::Frame& frame) {
  frame = {nullptr, 0};
  uint32_t slots = 0;
  std::atomic<uint64_t>* lost = nullptr;  // why it cannot be sent
  uint64_t total = 0;
  for (;; at = next(at)) {
    if (at == head) return 0;
    netmap_slot slot = vale::load_slot(view_.slots[at]);
    slots++;
    uint64_t offset = slot.flags & NS_INDIRECT ? 0 : slot.ptr & view_.offset_mask;
    bool fits = slot.buf_idx >= 2 && slot.buf_idx + 1 < view_.nbufs && offset + slot.len <= view_.buf_size;
    if (!lost && !fits) lost = &view_.kring->lost_buffer;
    if (!lost && (slots > kMaxFrags || total + slot.len > kMaxFrame)) lost = &view_.kring->lost_malformed;
    if (!lost) {
      uint8_t* data = view_.bufs + uint64_t{slot.buf_idx} * view_.buf_size + offset;
      if (slot.flags & NS_INDIRECT) {
        iovec local{data, slot.len}, remote{reinterpret_cast<void*>(slot.ptr), slot.len};
        if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != ssize_t(slot.len))
          lost = &view_.kring->lost_indirect;
      }
      if (slots == 1 && !(slot.flags & NS_MOREFRAG)) {
        frame = {data, slot.len};
      } else {
        gathered_.resize(kMaxFrame);
        memcpy(gathered_.data() + total, data, slot.len);
        frame = {gathered_.data(), uint32_t(total + slot.len)};
      }
      total += slot.len;
    }
    if (!(slot.flags & NS_MOREFRAG)) break;
  }
  if (!lost && total < kShortestFrame) lost = &view_.kring->lost_malformed;
  if (lost) {
    count(*lost);
    frame = {nullptr, 0};
  }
  return slots;
}

int FrameTx::sync(uint32_t& hwcur, uint32_t& hwtail, uint32_t head, bool, bool) {
  int error = 0;
  for (uint32_t done = 0; hwcur != head && done < kMostPerSync && !error;) {
    FrameChannel::Frame frames[FrameChannel::kBatch];
    uint32_t ends[FrameChannel::kBatch], n = 0, at = hwcur, skipped_to = hwcur;
    while (n < FrameChannel::kBatch && at != head) {
      uint32_t slots = load(at, head, frames[n]);
      if (slots == 0) break;
      at = (at + slots) % view_.num_slots;
      if (frames[n].len == 0) {
        if (n == 0)
          skipped_to = at;
        else
          ends[n - 1] = at;
        continue;
      }
      bool gathered = frames[n].data == gathered_.data();
      ends[n++] = at;
      if (gathered) break;  // one such at a time
    }
    hwcur = skipped_to;
    uint32_t sent = n ? channel_->send(frames, n, error) : 0;
    uint64_t bytes = 0, refused = 0;
    for (uint32_t i = 0; i < sent; i++) {
      bytes += frames[i].len;
      refused += frames[i].len == 0;
    }
    count(view_.kring->packets, sent - refused);
    count(view_.kring->bytes, bytes);
    count(state_->tx_lost_refused, refused);
    if (sent) hwcur = ends[sent - 1];
    done += sent;
    if (sent < n || n == 0) break;
  }
  hwtail = hwcur == 0 ? view_.num_slots - 1 : hwcur - 1;
  return error;
}

FrameRx::FrameRx(std::unique_ptr<FrameChannel> channel, const NicRxView& view, NicState* state)
    : channel_(std::move(channel)),
      view_(view),
      state_(state),
      more_(new uint8_t[size_t{FrameChannel::kBatch} * FrameChannel::kMoreBytes]),
      whole_(new uint8_t[size_t{view.buf_size} + FrameChannel::kMoreBytes + kTagBytes]) {}

// nullptr: the program spoiled the slot, and nothing goes there.
uint8_t* FrameRx::buffer(uint32_t slot) const {
  uint32_t index = view_.slots[slot].buf_idx;
  return index < 2 || index + 1 >= view_.nbufs ? nullptr : view_.bufs + uint64_t{index} * view_.buf_size;
}

void FrameRx::place(uint32_t at, uint8_t* bytes, uint32_t count, bool more) {
  netmap_slot& slot = view_.slots[at];
  if (uint8_t* to = buffer(at); to && bytes) memcpy(to, bytes, count);
  slot.len = uint16_t(count);
  slot.flags = more ? NS_MOREFRAG : 0;
  slot.ptr = 0;
}

// Gathered first: its beginning may be where it is to go.
void FrameRx::place_long(const FrameChannel::Frame& frame, uint32_t at, uint32_t slots) {
  uint32_t len = frame.len, first = std::min(len, view_.buf_size);
  memcpy(whole_.get(), frame.data, first);
  memcpy(whole_.get() + first, frame.more, len - first);
  if (frame.tag) {
    insert_tag(whole_.get(), len, frame.tag);
    len += kTagBytes;
  }
  for (uint32_t i = 0; i < slots; i++) {
    uint32_t part = std::min(len - i * view_.buf_size, view_.buf_size);
    place(slot_at(at, i), whole_.get() + size_t{i} * view_.buf_size, part, i + 1 < slots);
  }
}

// Frame i is in the buffer of slot hwtail + i, and what does not fit there beside it. Where each takes one slot it is
// where it belongs; behind a longer one all move on, the last ones first. Returns the slots used, `room` at most: what
// does not fit whole is lost.
uint32_t FrameRx::place_all(FrameChannel::Frame* frames, uint32_t got, uint32_t hwtail, uint32_t room) {
  uint32_t slots[FrameChannel::kBatch], begin[FrameChannel::kBatch], used = 0;
  for (uint32_t i = 0; i < got; i++) {
    const FrameChannel::Frame& frame = frames[i];
    uint32_t len = frame.len + (frame.tag ? kTagBytes : 0);
    slots[i] = std::max((len + view_.buf_size - 1) / view_.buf_size, 1u);
    longest_ = std::max(longest_, std::min(slots[i], view_.num_slots - 1));
    bool good = len <= view_.buf_size + FrameChannel::kMoreBytes;
    for (uint32_t k = 0; good && slots[i] > 1 && k < slots[i]; k++) good = buffer(slot_at(hwtail, used + k)) != nullptr;
    if (!good || slots[i] > room - used) {
      count(slots[i] < view_.num_slots && good ? state_->rx_lost_full : state_->rx_lost_oversize);
      slots[i] = 0;
      continue;
    }
    begin[i] = used;
    used += slots[i];
    packets_++;
    bytes_ += len;
  }
  auto settle = [&](uint32_t i) {
    const FrameChannel::Frame& frame = frames[i];
    uint32_t at = slot_at(hwtail, begin[i]);
    if (slots[i] > 1 || (frame.tag && begin[i] != i)) return place_long(frame, at, slots[i]);
    if (frame.tag) insert_tag(frame.data, frame.len, frame.tag);
    place(at, begin[i] == i ? nullptr : frame.data, frame.len + (frame.tag ? kTagBytes : 0), false);
  };
  for (uint32_t i = got; i-- > 0;)
    if (slots[i] && begin[i] >= i) settle(i);
  // Behind one that is lost.
  for (uint32_t i = 0; i < got; i++)
    if (slots[i] && begin[i] < i) settle(i);
  return used;
}

int FrameRx::sync(uint32_t& hwcur, uint32_t head, uint32_t& hwtail, bool) {
  hwcur = head;
  uint32_t n = view_.num_slots, end = head == 0 ? n - 1 : head - 1;
  for (uint32_t done = 0; hwtail != end && done < kMostPerSync;) {
    FrameChannel::Frame frames[FrameChannel::kBatch];
    const uint32_t room = (end + n - hwtail) % n;
    uint32_t want = 0, most = std::min(std::max(room / longest_, 1u), FrameChannel::kBatch);
    for (; want < most; want++) {
      uint8_t* data = buffer(slot_at(hwtail, want));
      if (!data) break;
      frames[want] = {data, view_.buf_size, more_.get() + size_t{want} * FrameChannel::kMoreBytes};
    }
    uint32_t got = want ? channel_->receive(frames, want) : 0;
    if (got == 0) break;
    hwtail = slot_at(hwtail, place_all(frames, got, hwtail, room));
    done += got;
    if (got < want) break;
  }
  count(view_.kring->packets, packets_);
  count(view_.kring->bytes, bytes_);
  packets_ = bytes_ = 0;
  return 0;
}

}  // namespace unetmap::client
