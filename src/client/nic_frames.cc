// SPDX-License-Identifier: BSD-2-Clause
#include "client/nic_frames.hh"

#include <linux/if_packet.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace unetmap::client {
namespace {

constexpr uint32_t kShortestFrame = 14, kMaxFrags = 64, kMaxFrame = 65535;
constexpr uint32_t kMostPerSync = 512;

void count(std::atomic<uint64_t>& counter, uint64_t n = 1) {
  if (n) counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

bool for_later(int error) { return error == EAGAIN || error == EINTR || error == ENOBUFS; }

class TapChannel final : public FrameChannel {
 public:
  using FrameChannel::FrameChannel;
  uint32_t send(const Frame* frames, uint32_t count, int& error) override {
    for (uint32_t i = 0; i < count; i++)
      if (syscall(SYS_write, fd_, frames[i].data, frames[i].len) < 0) {
        // A frame that the stack refuses is lost, and nothing else with it.
        if (for_later(errno)) return i;
        if (errno == EBADFD || errno == EIO) return error = errno, i;
      }
    return count;
  }
  uint32_t receive(Frame* frames, uint32_t count) override {
    for (uint32_t i = 0; i < count; i++) {
      long n = syscall(SYS_read, fd_, frames[i].data, frames[i].len);
      if (n < 0) return i;
      frames[i].len = uint32_t(n);
    }
    return count;
  }
};

class PacketChannel final : public FrameChannel {
 public:
  using FrameChannel::FrameChannel;
  uint32_t send(const Frame* frames, uint32_t count, int& error) override {
    mmsghdr messages[kBatch] = {};
    iovec parts[kBatch];
    for (uint32_t i = 0; i < count; i++) {
      parts[i] = {frames[i].data, frames[i].len};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
    long n = syscall(SYS_sendmmsg, fd_, messages, count, MSG_DONTWAIT);
    if (n >= 0) return uint32_t(n);
    if (for_later(errno)) return 0;
    if (errno == ENETDOWN || errno == ENXIO || errno == ENODEV) return error = errno, 0;
    return 1;  // this one the interface does not take, too long for instance
  }
  uint32_t receive(Frame* frames, uint32_t count) override {
    mmsghdr messages[kBatch] = {};
    iovec parts[kBatch];
    alignas(cmsghdr) uint8_t control[kBatch][CMSG_SPACE(sizeof(tpacket_auxdata))];
    for (uint32_t i = 0; i < count; i++) {
      parts[i] = {frames[i].data, frames[i].len};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
      messages[i].msg_hdr.msg_control = control[i];
      messages[i].msg_hdr.msg_controllen = sizeof control[i];
    }
    long n = syscall(SYS_recvmmsg, fd_, messages, count, MSG_DONTWAIT, nullptr);
    for (long i = 0; i < n; i++) {
      uint32_t room = frames[i].len;
      frames[i].len = messages[i].msg_len;
      restore_tag(frames[i], room, messages[i].msg_hdr);
    }
    return n < 0 ? 0 : uint32_t(n);
  }

 private:
  // The kernel took the VLAN tag out of the frame and tells it beside.
  static void restore_tag(Frame& frame, uint32_t room, const msghdr& message) {
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(const_cast<msghdr*>(&message), c)) {
      if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA) continue;
      tpacket_auxdata aux;
      memcpy(&aux, CMSG_DATA(c), sizeof aux);
      if (!(aux.tp_status & TP_STATUS_VLAN_VALID) || frame.len < kShortestFrame || frame.len + 4 > room) return;
      uint16_t type = aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid : 0x8100;
      memmove(frame.data + 16, frame.data + 12, frame.len - 12);
      uint8_t tag[4] = {uint8_t(type >> 8), uint8_t(type), uint8_t(aux.tp_vlan_tci >> 8), uint8_t(aux.tp_vlan_tci)};
      memcpy(frame.data + 12, tag, sizeof tag);
      frame.len += 4;
    }
  }
};

}  // namespace

std::unique_ptr<FrameChannel> tap_channel(int fd) { return std::make_unique<TapChannel>(fd); }
std::unique_ptr<FrameChannel> packet_channel(int fd) { return std::make_unique<PacketChannel>(fd); }

// The packet at `at`, with its fragments in one piece. Returns its slots, 0 if its end is not there yet; a frame of no
// bytes is one that cannot be sent.
uint32_t FrameTx::load(uint32_t at, uint32_t head, FrameChannel::Frame& frame) {
  frame = {nullptr, 0};
  uint32_t slots = 0;
  bool good = true;
  uint64_t total = 0;
  for (;; at = next(at)) {
    if (at == head) return 0;
    netmap_slot slot = view_.slots[at];
    slots++;
    uint64_t offset = slot.flags & NS_INDIRECT ? 0 : slot.ptr & view_.offset_mask;
    bool fits = slot.buf_idx >= 2 && slot.buf_idx + 1 < view_.nbufs && offset + slot.len <= view_.buf_size;
    if (!fits && good) count(view_.kring->lost_buffer);
    good = good && fits && slots <= kMaxFrags && total + slot.len <= kMaxFrame;
    if (good) {
      uint8_t* data = view_.bufs + uint64_t{slot.buf_idx} * view_.buf_size + offset;
      if (slot.flags & NS_INDIRECT) {
        iovec local{data, slot.len}, remote{reinterpret_cast<void*>(slot.ptr), slot.len};
        if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != ssize_t(slot.len)) {
          count(view_.kring->lost_indirect);
          good = false;
        }
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
  if (good && total < kShortestFrame) count(view_.kring->lost_malformed);
  if (!good || total < kShortestFrame) frame = {nullptr, 0};
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
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < sent; i++) bytes += frames[i].len;
    count(view_.kring->packets, sent);
    count(view_.kring->bytes, bytes);
    if (sent) hwcur = ends[sent - 1];
    done += sent;
    if (sent < n || n == 0) break;
  }
  hwtail = hwcur == 0 ? view_.num_slots - 1 : hwcur - 1;
  return error;
}

int FrameRx::sync(uint32_t& hwcur, uint32_t head, uint32_t& hwtail, bool) {
  hwcur = head;
  uint32_t n = view_.num_slots, end = head == 0 ? n - 1 : head - 1;
  uint64_t bytes = 0, packets = 0;
  for (uint32_t done = 0; hwtail != end && done < kMostPerSync;) {
    FrameChannel::Frame frames[FrameChannel::kBatch];
    uint32_t want = 0;
    for (uint32_t at = hwtail; at != end && want < FrameChannel::kBatch; at = at + 1 == n ? 0 : at + 1, want++) {
      uint32_t buffer = view_.slots[at].buf_idx;
      if (buffer < 2 || buffer + 1 >= view_.nbufs) break;  // the program spoiled it; nothing goes there
      frames[want] = {view_.bufs + uint64_t{buffer} * view_.buf_size, view_.buf_size};
    }
    uint32_t got = want ? channel_->receive(frames, want) : 0;
    for (uint32_t i = 0; i < got; i++, hwtail = hwtail + 1 == n ? 0 : hwtail + 1) {
      netmap_slot& slot = view_.slots[hwtail];
      slot.len = uint16_t(frames[i].len);
      slot.flags = 0;
      slot.ptr = 0;
      bytes += frames[i].len;
    }
    packets += got;
    done += got;
    if (got < FrameChannel::kBatch) break;
  }
  count(view_.kring->packets, packets);
  count(view_.kring->bytes, bytes);
  return 0;
}

}  // namespace unetmap::client
