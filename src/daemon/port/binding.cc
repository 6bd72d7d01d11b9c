// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/port/binding.hh"

#include <algorithm>
#include <cstring>

namespace unetmap::daemon {
namespace {

// The sockets of the queues that the file is bound to, whichever direction.
wire::NicInfo nic_info(const Port& port, const File& file) {
  const wire::KeeperReply& reply = port.nic->reply;
  wire::NicInfo out{};
  out.kind = reply.mode == wire::NicMode::kPacket   ? wire::NicKind::kPacket
             : reply.mode == wire::NicMode::kDriver ? wire::NicKind::kDriver
                                                    : wire::NicKind::kXdp;
  out.ifindex = reply.ifindex;
  // Where the kernel copies, a packet becomes one sk_buff: its head and 17 pieces. Further ones it completes unsent.
  constexpr uint16_t kCopied = 18, kLent = 64;
  out.packet_slots = !reply.multi_buffer ? 1 : reply.mode == wire::NicMode::kNativeZeroCopy ? kLent : kCopied;
  out.straight = reply.straight;
  out.interrupts = reply.interrupts;
  out.rx_entries = reply.rx_ring;
  out.tx_entries = reply.tx_ring;
  out.fill_entries = reply.fill_ring;
  out.completion_entries = reply.completion_ring;
  uint16_t queues = uint16_t(port.info.rx_rings - port.info.host_rx_rings), first = queues, end = 0;
  for (const RingRange& range : {file.tx, file.rx}) {
    if (range.first >= range.end || range.first >= queues) continue;
    first = std::min(first, range.first);
    end = std::max(end, std::min(range.end, queues));
  }
  out.first_queue = first < end ? first : 0;
  out.sockets = first < end ? uint16_t(end - first) : 0;
  return out;
}

}  // namespace

wire::BindInfo bind_info(const File& file) {
  const Port& port = *file.port;
  wire::BindInfo out{};
  memcpy(out.name, port.name.data(), std::min(port.name.size(), sizeof out.name - 1));
  out.file_id = file.id;
  out.mode = file.mode;
  out.reg_flags = file.reg_flags;
  out.if_offset = file.if_offset;
  out.region = port.region->info();
  out.memsize = port.region->shape().memsize();
  out.tx_first = file.tx.first;
  out.tx_end = file.tx.end;
  out.rx_first = file.rx.first;
  out.rx_end = file.rx.end;
  out.exclusive = file.exclusive;
  auto info_of = [](const Port& p) {
    wire::PortInfo info = p.info;
    info.header_len = p.record()->header_len;
    info.flags = p.record()->flags;
    return info;
  };
  out.port = info_of(port);
  if (port.nic) out.nic = nic_info(port, file);
  if (port.peer) out.peer = info_of(*port.peer);
  return out;
}

std::vector<int> bind_fds(const File& file) {
  const Port& port = *file.port;
  std::vector<int> out{port.region->private_fd(), port.region->exchange_fd(), port.sw->fd(), file.doorbell.get()};
  if (port.nic) {
    wire::NicInfo nic = nic_info(port, file);
    for (uint16_t i = 0; i < nic.sockets; i++) out.push_back(port.nic->fds[size_t{nic.first_queue} + i].get());
    for (size_t i = port.nic->reply.queues.size(); i < port.nic->fds.size(); i++) out.push_back(port.nic->fds[i].get());
  }
  return out;
}

}  // namespace unetmap::daemon
