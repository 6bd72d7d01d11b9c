// SPDX-License-Identifier: BSD-2-Clause
// Sends or receives frames through DPDK's port 0 on the main lcore, and gives the CPU away (sched_yield) whenever a
// burst moved nothing, so that two clients can share one CPU. Stock testpmd never yields: on two CPUs with a switch in
// the middle it measures the scheduler instead.
//   bench-dpdk-client EAL_ARGUMENTS -- tx|rx FRAME_LENGTH COUNTER_FILE
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <sched.h>

#include <cerrno>

#include "client.hh"
#include "vale/copy.hh"

namespace {
constexpr uint16_t kPort = 0, kBurst = 64, kDescriptors = 1024;
// Few buffers, often used: with 65535 of them each packet's was in no cache.
constexpr unsigned kBuffers = 4095, kCache = 512, kBufferRoom = 2176;
constexpr int kHellos = 4;

rte_mempool* open_port() {
  rte_mempool* pool = rte_pktmbuf_pool_create("bench", kBuffers, kCache, 0, kBufferRoom, SOCKET_ID_ANY);
  const rte_eth_conf configuration{};
  if (pool == nullptr || rte_eth_dev_count_avail() == 0 || rte_eth_dev_configure(kPort, 1, 1, &configuration) != 0 ||
      rte_eth_rx_queue_setup(kPort, 0, kDescriptors, 0, nullptr, pool) != 0 ||
      rte_eth_tx_queue_setup(kPort, 0, kDescriptors, 0, nullptr) != 0 || rte_eth_dev_start(kPort) != 0) {
    std::fprintf(stderr, "DPDK port 0: cannot be opened; needs a --vdev argument and about 256 MiB of huge pages\n");
    std::exit(1);
  }
  rte_eth_promiscuous_enable(kPort);
  return pool;
}

void transmit(rte_mempool* pool, uint16_t length, unsigned yield_every, peer::Counters& counters) {
  uint8_t header[14];
  peer::build_frame(header, sizeof header);
  rte_mbuf* burst[kBurst];
  unsigned since_yield = 0;
  while (!peer::stop) {
    if (yield_every != 0 && since_yield >= yield_every) {
      since_yield = 0;
      sched_yield();
    }
    since_yield += kBurst;
    if (rte_pktmbuf_alloc_bulk(pool, burst, kBurst) != 0) {
      sched_yield();
      continue;
    }
    // The switch has read them since: asked for all at once, they need not be waited for one by one.
    for (rte_mbuf* packet : burst) unetmap::vale::prefetch_to_write(rte_pktmbuf_mtod(packet, void*));
    for (rte_mbuf* packet : burst) {
      packet->data_len = length;
      packet->pkt_len = length;
      std::memcpy(rte_pktmbuf_mtod(packet, uint8_t*), header, sizeof header);
    }
    uint16_t sent = 0;
    while (sent < kBurst && !peer::stop) {
      const uint16_t accepted = rte_eth_tx_burst(kPort, 0, burst + sent, kBurst - sent);
      if (accepted == 0) sched_yield();
      sent += accepted;
    }
    if (sent < kBurst) rte_pktmbuf_free_bulk(burst + sent, kBurst - sent);
    counters.add(sent, uint64_t{sent} * length);
  }
}

// So that a switch that learns knows where the receiver is.
void announce(rte_mempool* pool) {
  for (int i = 0; i < kHellos; i++) {
    rte_mbuf* hello = rte_pktmbuf_alloc(pool);
    if (hello == nullptr) return;
    hello->data_len = hello->pkt_len = peer::kHelloFrame;
    peer::build_frame(rte_pktmbuf_mtod(hello, uint8_t*), peer::kHelloFrame, true);
    if (rte_eth_tx_burst(kPort, 0, &hello, 1) == 0) rte_pktmbuf_free(hello);
  }
}

void receive(rte_mempool* pool, peer::Counters& counters) {
  announce(pool);
  rte_mbuf* burst[kBurst];
  uint64_t checksum = 0;
  while (!peer::stop) {
    const uint16_t packets = rte_eth_rx_burst(kPort, 0, burst, kBurst);
    if (packets == 0) {
      sched_yield();
      continue;
    }
    uint64_t bytes = 0;
    for (uint16_t i = 0; i < packets; i++) {
      bytes += burst[i]->pkt_len;
      checksum += *rte_pktmbuf_mtod(burst[i], uint8_t*);
    }
    rte_pktmbuf_free_bulk(burst, packets);
    counters.add(packets, bytes);
  }
  // Keeps the reads of the frames from being optimised away.
  std::fprintf(stderr, "checksum of first bytes %lu\n", static_cast<unsigned long>(checksum));
}
}  // namespace

int main(int argc, char** argv) {
  const int consumed = rte_eal_init(argc, argv);
  if (consumed < 0) {
    std::fprintf(stderr, "DPDK: the environment cannot be initialised with these arguments\n");
    return 1;
  }
  argc -= consumed;
  argv += consumed;
  if (argc != 5 || (std::strcmp(argv[1], "tx") != 0 && std::strcmp(argv[1], "rx") != 0)) {
    std::fprintf(stderr, "usage: bench-dpdk-client EAL_ARGUMENTS -- tx|rx FRAME_LENGTH COUNTER_FILE YIELD_EVERY\n");
    return 2;
  }
  const size_t length = peer::parse_frame_length(argv[2]);
  peer::Counters counters(argv[3]);
  peer::stop_on_signal();
  rte_mempool* pool = open_port();
  const auto yield_every = static_cast<unsigned>(std::strtoul(argv[4], nullptr, 10));
  argv[1][0] == 't' ? transmit(pool, static_cast<uint16_t>(length), yield_every, counters) : receive(pool, counters);
  rte_eth_dev_stop(kPort);
  rte_eal_cleanup();
}
