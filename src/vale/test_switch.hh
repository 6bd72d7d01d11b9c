// SPDX-License-Identifier: BSD-2-Clause
// A switch in plain memory for tests: ports with rings, and no daemon.
#pragma once

#include <sys/mman.h>
#include <time.h>

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "vale/forward.hh"
#include "vale/receive.hh"

namespace unetmap::vale::testing {

template <class T>
T* zeroed(size_t bytes) {
  return static_cast<T*>(
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
}

struct TestPort {
  uint16_t index;
  uint32_t slots, buf_size, nbufs;
  uint8_t* bufs;
  uint8_t* exchange_memory;
  netmap_slot *tx_slots, *rx_slots;
  TxKring tx{};
  RxKring rx{};
  std::vector<std::atomic<uint32_t>> cell_of, own;
  TxView view;
  std::unique_ptr<Receiver> receiver;
  uint32_t tx_head = 0, hwcur = 0, rx_head = 0, hwtail = 0;

  uint8_t* buffer(const netmap_slot& slot) { return bufs + size_t{slot.buf_idx} * buf_size; }
};

class TestSwitch final : public Outside {
 public:
  TestSwitch() : shared(zeroed<SwitchShared>(sizeof(SwitchShared))) {
    shared->fdb_age_s = 300;
    shared->fdb_seed = 0x1234567;
  }
  ~TestSwitch() {
    for (auto& p : ports) {
      munmap(p->bufs, size_t{p->nbufs} * p->buf_size);
      munmap(p->exchange_memory, exchange_bytes(p->slots - 1));
      munmap(p->tx_slots, p->slots * sizeof(netmap_slot));
      munmap(p->rx_slots, p->slots * sizeof(netmap_slot));
    }
    munmap(shared, sizeof *shared);
  }

  TestPort& add(uint32_t slots = 1024, uint32_t flags = kPortFlood, uint32_t buf_size = 2048) {
    auto index = uint16_t(ports.size());
    ports.push_back(std::make_unique<TestPort>());
    TestPort& p = *ports.back();
    p.index = index;
    p.slots = slots;
    p.buf_size = buf_size;
    p.nbufs = 2 + 2 * slots;
    p.bufs = zeroed<uint8_t>(size_t{p.nbufs} * buf_size);
    p.exchange_memory = zeroed<uint8_t>(exchange_bytes(slots - 1));
    p.tx_slots = zeroed<netmap_slot>(slots * sizeof(netmap_slot));
    p.rx_slots = zeroed<netmap_slot>(slots * sizeof(netmap_slot));
    for (uint32_t i = 0; i < slots; i++) {
      p.tx_slots[i].buf_idx = 2 + i;
      p.rx_slots[i].buf_idx = 2 + slots + i;
    }
    p.cell_of = std::vector<std::atomic<uint32_t>>(slots);
    p.own = std::vector<std::atomic<uint32_t>>(slots);
    p.view = {p.tx_slots, 0, slots, buf_size, p.nbufs, p.bufs, 0, &p.tx, 0};
    ExchangeShape shape{slots - 1, 2 + slots, p.nbufs, buf_size, false};
    RxView rx{p.rx_slots,          slots, &p.rx, p.cell_of.data(), p.own.data(), Exchange(p.exchange_memory, shape), 0,
              &shared->port[index]};
    p.receiver = std::make_unique<Receiver>(shared, rx);
    PortEntry& entry = shared->port[index];
    entry.rx_rings = 1;
    entry.flags = flags;
    entry.generation = 2 * index + 1;
    shared->port_limit = index + 1u;
    if (flags & kPortLossless) shared->lossless_ports++;
    if (flags & kPortFlood) shared->flood[shared->flood_count++] = index;
    Dest dest;
    dest.generation = 2 * index + 1;
    dest.port = index;
    dest.buf_size = buf_size;
    dest.bufs = p.bufs;
    dest.rings.emplace_back(p.exchange_memory, shape);
    dests[index] = dest;
    forwarders.push_back(std::make_unique<Forwarder>(shared, index, 2 * index + 1, *this));
    return p;
  }

  // Puts a frame into the next tx slot.
  void queue(TestPort& p, const std::string& frame, uint16_t flags = 0) {
    netmap_slot& slot = p.tx_slots[p.tx_head];
    slot.len = uint16_t(frame.size());
    slot.flags = flags;
    memcpy(p.buffer(slot), frame.data(), frame.size());
    p.tx_head = (p.tx_head + 1) % p.slots;
  }
  Forwarded send(TestPort& p) {
    Forwarded out = forwarders[p.index]->forward(p.view, p.hwcur, p.tx_head, now_s, 1);
    p.hwcur = out.hwcur;
    return out;
  }
  // Everything that arrived, slots given back at once; fragments of a packet joined.
  std::vector<std::string> receive(TestPort& p) {
    std::vector<std::string> out;
    p.hwtail = p.receiver->take(p.hwtail, p.rx_head);
    bool more = false;
    uint32_t from = p.rx_head;
    for (; p.rx_head != p.hwtail; p.rx_head = (p.rx_head + 1) % p.slots) {
      netmap_slot& slot = p.rx_slots[p.rx_head];
      std::string bytes(reinterpret_cast<char*>(p.buffer(slot)), slot.len);
      if (more)
        out.back() += bytes;
      else
        out.push_back(bytes);
      more = slot.flags & NS_MOREFRAG;
    }
    p.receiver->give_back(from, p.rx_head);
    return out;
  }

  Dest* resolve(uint16_t port, uint32_t generation) override {
    auto found = dests.find(port);
    return found != dests.end() && found->second.generation == generation ? &found->second : nullptr;
  }
  void wake(RxExchange&, Dest&) override { wakes++; }
  void relieve(Dest&, const Exchange&, bool) override { reliefs++; }
  uint64_t now_ns() override { return clock_ns; }
  bool read_user(uint64_t address, uint8_t* to, uint32_t len) override {
    if (address < 4096) return false;
    memcpy(to, reinterpret_cast<void*>(address), len);
    return true;
  }

  SwitchShared* shared;
  std::vector<std::unique_ptr<TestPort>> ports;
  std::vector<std::unique_ptr<Forwarder>> forwarders;
  std::map<uint16_t, Dest> dests;
  uint64_t clock_ns = 0;
  uint32_t now_s = 1000;
  int wakes = 0, reliefs = 0;
};

// A frame from host `from` to host `to`, 0xff for everybody.
inline std::string frame(uint8_t to, uint8_t from, size_t bytes = 60, const std::string& payload = "") {
  std::string out(bytes, char(from));
  for (int i = 0; i < 6; i++) out[i] = to == 0xff ? '\xff' : i == 0 ? '\x02' : char(to);
  for (int i = 6; i < 12; i++) out[i] = i == 6 ? '\x02' : char(from);
  out[12] = '\x08';
  out[13] = 0;
  for (size_t i = 0; i < payload.size() && 14 + i < bytes; i++) out[14 + i] = payload[i];
  return out;
}

}  // namespace unetmap::vale::testing
