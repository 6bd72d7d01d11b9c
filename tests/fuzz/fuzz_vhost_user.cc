// SPDX-License-Identifier: BSD-2-Clause
// A hostile vhost-user front-end: any messages with any descriptors over a real socket pair, into the back-end as it
// is, with real queues that are served between the messages. Beyond memory errors it checks that a ring which runs was
// told everything it needs, and that descriptors do not pile up.
//
// Input: records, each  u8 what  u8 how  u8 length  that many bytes.
//   what 0xee: the bytes are written to the guest's memory at 64 times `how`
//   else a request of this number, with descriptors: how & 3 of them, memory or (how & 4) eventfds
//   how & 8: the bytes are laid over a good payload for this request; else they are the payload
//   how & 16: the bytes are sent as they are, header and all
//   how & 32: an answer is wanted; how & 64: the connection ends first, and a new one begins
#include <unistd.h>

#include <cstring>
#include <memory>
#include <span>

#include "dev/virtio_net/rx_queue.hh"
#include "dev/virtio_net/tx_queue.hh"
#include "hostile_end.hh"
#include "proto/vhost_user/backend.hh"

namespace {

using namespace unetmap;
using namespace unetmap::fuzz;
using namespace unetmap::vhost_user;

constexpr uint64_t kRegion = 0x4000, kUser = 0x10'0000;
constexpr uint32_t kRings = 4;
constexpr int kMaxRecords = 48;
constexpr uint8_t kWriteMemory = 0xee;

// Two queues pairs without a switch.
class Queues final : public Device {
 public:
  Backend backend{{.features = virtio::kDataPathFeatures | virtio::kMq, .rings = kRings}, *this};

  void ring_closing(uint32_t index) override { require(index < kRings, "a ring that exists is closed"); }
  void ring_changed(uint32_t index) override {
    require(index < kRings, "a ring that exists is changed");
    const vhost_user::Vring& told = backend.ring(index);
    if (!told.runs()) return queue(index).stop();
    require(told.size != 0 && told.has_addresses, "a ring that runs knows its size and addresses");
    virtio::RingSetup setup{.features = backend.features(),
                            .size = told.size,
                            .position = told.base,
                            .descriptors = told.desc_user,
                            .driver = told.avail_user,
                            .device = told.used_user,
                            .log = told.log_used,
                            .log_at = told.log_guest};
    if (queue(index).running()) setup.position = queue(index).position();
    const auto why =
        index % 2 ? tx_[index / 2].start(backend.memory(), setup) : rx_[index / 2].start(backend.memory(), setup);
    broken_ |= why != virtio::RingFault::kNone;
  }
  void call_changed(uint32_t index) override {
    if (queue(index).running()) (void)queue(index).call_overdue();
  }
  void memory_changed() override {}
  void features_changed() override {}
  uint32_t position(uint32_t index) override { return queue(index).position(); }
  void announce(const uint8_t (&)[6]) override {}
  Result<void> set_mtu(uint16_t) override { return {}; }
  void refused(const std::string&) override {}
  bool broken() const override { return broken_; }
  void reset() override { broken_ = false; }

  void serve() {
    static auto batch = std::make_unique<virtio::ChainBatch>();
    static virtio::TxPacket packets[virtio::kMaxFetch];
    static const uint8_t frame[300] = {};
    const virtio::RxQueue::Source source[] = {{frame, sizeof frame}};
    for (uint32_t pair = 0; pair < kRings / 2; pair++) {
      if (tx_[pair].ring().running()) {
        const size_t count = tx_[pair].fetch(*batch, packets);
        for (size_t i = 0; i < count; i++) {
          for (const virtio::Piece& piece : packets[i].frame) sum_ += piece.at[0] + piece.at[piece.bytes - 1];
        }
        (void)tx_[pair].complete(count);
      }
      if (rx_[pair].ring().running()) {
        (void)rx_[pair].deliver(*batch, {}, source);
        (void)rx_[pair].finish();
      }
    }
  }

 private:
  virtio::Vring& queue(uint32_t index) { return index % 2 ? tx_[index / 2].ring() : rx_[index / 2].ring(); }

  virtio::TxQueue tx_[kRings / 2];
  virtio::RxQueue rx_[kRings / 2];
  bool broken_ = false;
  uint64_t sum_ = 0;
};

// A payload that this request can have.
size_t good_payload(Id id, uint8_t* to) {
  switch (id) {
    case Id::kSetFeatures:
      return put(to, virtio::kDataPathFeatures | kHasProtocolFeatures);
    case Id::kSetProtocolFeatures:
      return put(to, uint64_t{1} << kMq | 1 << kLogShmfd | 1 << kRarp | 1 << kReplyAck | 1 << kMtu |
                         1 << kResetsDevice | 1 << kConfigureMemSlots | 1 << kStatus);
    case Id::kSetMemTable:
      put(to, MemTable{2, 0, {{0, kRegion, kUser, 0}, {kRegion, kRegion, kUser + kRegion, kRegion}}});
      return 8 + 2 * sizeof(MemRegion);
    case Id::kAddMemReg:
    case Id::kRemMemReg:
      return put(to, SingleRegion{0, {4 * kRegion, kRegion, kUser + 4 * kRegion, 0}});
    case Id::kSetLogBase:
      return put(to, LogArea{64, 0});
    case Id::kSetVringNum:
      return put(to, VringState{0, 16});
    case Id::kSetVringAddr:
      return put(to, VringAddr{0, 0, kUser, kUser + 0x140, kUser + 0x100, 0x140});
    case Id::kSetVringBase:
    case Id::kGetVringBase:
      return put(to, VringState{0, 0});
    case Id::kSetVringEnable:
      return put(to, VringState{0, 1});
    default:
      return put(to, uint64_t{0});
  }
}

class FrontEnd {
 public:
  explicit FrontEnd(Backend& backend) : backend_(backend) { connect(); }

  void connect() {
    backend_.disconnected();
    connection_ = std::make_unique<Connection>(end_.connect());
  }
  void send(std::span<const uint8_t> bytes, uint8_t how, int memory) { end_.send(bytes, how, memory); }
  // Until nothing more comes; a connection that is refused is followed by a new one.
  void hear() {
    for (;;) {
      auto request = connection_->receive();
      if (!request) return connect();
      if (!*request) break;
      auto reply = backend_.handle(std::move(**request));
      if (!reply) return connect();
      if (*reply && !connection_->send(**reply)) return connect();
    }
    uint8_t answers[256];
    while (end_.receive(answers) > 0) {
    }
  }

 private:
  Backend& backend_;
  HostileEnd end_;
  std::unique_ptr<Connection> connection_;
};

void play(std::span<const uint8_t> input, int memory) {
  Queues queues;
  FrontEnd front_end(queues.backend);
  Record record;
  for (int records = 0; records < kMaxRecords && take_record(input, record); records++) {
    if (record.what == kWriteMemory) {
      (void)!pwrite(memory, record.bytes.data(), record.bytes.size(), 64 * record.how);
      queues.serve();
      continue;
    }
    if (record.reconnects()) front_end.connect();
    const Message<Header> message(
        record, [&](uint8_t* to) { return good_payload(static_cast<Id>(record.what), to); },
        [&](uint32_t bytes) {
          return Header{record.what, kVersion | (record.has_flag() ? kNeedReply : 0), bytes};
        });
    front_end.send(message.bytes(), record.how, memory);
    front_end.hear();
    queues.serve();
  }
  queues.backend.disconnected();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  play_with_memory(2 * kRegion, [&](int memory) { play({data, size}, memory); });
  return 0;
}
