// SPDX-License-Identifier: BSD-2-Clause
// Sends or receives raw frames through AF_PACKET's memory-mapped rings (PACKET_MMAP): version 2 to send, version 3 to
// receive.
//   bench-packet-client tx|udp|rx INTERFACE FRAME_LENGTH COUNTER_FILE
// udp sends datagrams of some flows in turn.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "client.hh"

namespace {
constexpr unsigned kTxFrames = 1024, kTxStride = 2048, kTxBlock = 1 << 20, kTxBatch = 256;
constexpr unsigned kRxBlocks = 64, kRxBlock = 1 << 18, kRxStride = 2048;

struct Socket {
  int fd;
  const char* interface;
  sockaddr_ll address;

  template <class T>
  void set(int option, const T& value, const char* what) const {
    if (setsockopt(fd, SOL_PACKET, option, &value, sizeof value) != 0) peer::fail(what, interface);
  }
  uint8_t* map(size_t size) const {
    void* ring = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (ring == MAP_FAILED) peer::fail("map the packet ring", interface);
    return static_cast<uint8_t*>(ring);
  }
  void attach() const {
    if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) peer::fail("bind", interface);
  }
};

Socket open_socket(const char* interface, int protocol) {
  Socket s{socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), interface, {}};
  if (s.fd < 0) peer::fail("open a packet socket", interface);
  s.address.sll_family = AF_PACKET;
  s.address.sll_protocol = htons(static_cast<uint16_t>(protocol));
  s.address.sll_ifindex = static_cast<int>(if_nametoindex(interface));
  if (s.address.sll_ifindex == 0) peer::fail("find the interface", interface);
  return s;
}

void transmit(const char* interface, size_t length, bool datagrams, peer::Counters& counters) {
  const Socket s = open_socket(interface, 0);
  s.set(PACKET_VERSION, static_cast<int>(TPACKET_V2), "choose packet ring version 2");
  s.set(PACKET_QDISC_BYPASS, 1, "bypass the queueing discipline");
  s.set(PACKET_LOSS, 1, "skip malformed frames");
  const int send_buffer = 8 << 20;
  setsockopt(s.fd, SOL_SOCKET, SO_SNDBUFFORCE, &send_buffer, sizeof send_buffer);
  const tpacket_req request{kTxBlock, kTxFrames * kTxStride / kTxBlock, kTxStride, kTxFrames};
  s.set(PACKET_TX_RING, request, "make the transmit ring");
  uint8_t* ring = s.map(size_t{kTxFrames} * kTxStride);
  s.attach();

  const size_t data = TPACKET2_HDRLEN - sizeof(sockaddr_ll);
  auto build = [&](unsigned at, size_t bytes) {
    uint8_t* const frame = ring + size_t{at} * kTxStride + data;
    datagrams ? peer::build_datagram(frame, length, at % peer::kFlows) : peer::build_frame(frame, bytes);
  };
  for (unsigned i = 0; i < kTxFrames; i++) build(i, length);
  unsigned next = 0;
  while (!peer::stop) {
    unsigned filled = 0;
    for (; filled < kTxBatch; filled++) {
      auto* header = reinterpret_cast<tpacket2_hdr*>(ring + size_t{next} * kTxStride);
      if (__atomic_load_n(&header->tp_status, __ATOMIC_ACQUIRE) != TP_STATUS_AVAILABLE) break;
      build(next, std::min(length, peer::kHelloFrame));
      header->tp_len = header->tp_snaplen = static_cast<uint32_t>(length);
      __atomic_store_n(&header->tp_status, uint32_t{TP_STATUS_SEND_REQUEST}, __ATOMIC_RELEASE);
      next = (next + 1) % kTxFrames;
    }
    // An error here (ENOBUFS and the like) leaves frames pending; the next round offers them again.
    (void)!send(s.fd, nullptr, 0, MSG_DONTWAIT);
    counters.add(filled, filled * length);
  }
}

void receive(const char* interface, peer::Counters& counters) {
  const Socket s = open_socket(interface, ETH_P_ALL);
  s.set(PACKET_VERSION, static_cast<int>(TPACKET_V3), "choose packet ring version 3");
  s.set(PACKET_IGNORE_OUTGOING, 1, "ignore outgoing frames");
  tpacket_req3 request{};
  request.tp_block_size = kRxBlock;
  request.tp_block_nr = kRxBlocks;
  request.tp_frame_size = kRxStride;
  request.tp_frame_nr = kRxBlocks * (kRxBlock / kRxStride);
  request.tp_retire_blk_tov = 1;
  s.set(PACKET_RX_RING, request, "make the receive ring");
  uint8_t* ring = s.map(size_t{kRxBlocks} * kRxBlock);
  s.attach();
  packet_mreq membership{};
  membership.mr_ifindex = s.address.sll_ifindex;
  membership.mr_type = PACKET_MR_PROMISC;
  s.set(PACKET_ADD_MEMBERSHIP, membership, "enter promiscuous mode");
  uint8_t hello[peer::kHelloFrame];
  peer::build_frame(hello, sizeof hello, true);
  if (write(s.fd, hello, sizeof hello) < 0) peer::fail("announce the receiver", interface);

  unsigned next = 0;
  while (!peer::stop) {
    auto* block = reinterpret_cast<tpacket_block_desc*>(ring + size_t{next} * kRxBlock);
    if (!(__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER)) {
      pollfd ready{s.fd, POLLIN, 0};
      poll(&ready, 1, 100);
      continue;
    }
    const unsigned packets = block->hdr.bh1.num_pkts;
    uint8_t* at = reinterpret_cast<uint8_t*>(block) + block->hdr.bh1.offset_to_first_pkt;
    uint64_t bytes = 0;
    for (unsigned i = 0; i < packets; i++) {
      const auto* header = reinterpret_cast<const tpacket3_hdr*>(at);
      bytes += header->tp_snaplen;
      at += header->tp_next_offset;
    }
    counters.add(packets, bytes);
    __atomic_store_n(&block->hdr.bh1.block_status, uint32_t{TP_STATUS_KERNEL}, __ATOMIC_RELEASE);
    next = (next + 1) % kRxBlocks;
  }
}
}  // namespace

int main(int argc, char** argv) {
  const auto mode = [&](const char* name) { return argc == 5 && std::strcmp(argv[1], name) == 0; };
  if (!mode("tx") && !mode("udp") && !mode("rx")) {
    std::fprintf(stderr, "usage: bench-packet-client tx|udp|rx INTERFACE FRAME_LENGTH COUNTER_FILE\n");
    return 2;
  }
  const size_t length = peer::parse_frame_length(argv[3]);
  peer::Counters counters(argv[4]);
  peer::stop_on_signal();
  mode("rx") ? receive(argv[2], counters) : transmit(argv[2], length, mode("udp"), counters);
}
