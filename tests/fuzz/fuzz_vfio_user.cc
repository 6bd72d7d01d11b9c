// SPDX-License-Identifier: BSD-2-Clause
// A hostile vfio-user client: any messages with any descriptors over a real socket pair, into the server as it is, with
// a real e1000 behind it that moves packets between the messages. Beyond memory errors it checks that no answer is
// larger than what may be asked for, that each is whole, and that descriptors do not pile up.
//
// Input: records, each  u8 what  u8 how  u8 length  that many bytes.
//   what 0xee: the bytes are written to the guest's memory at 64 times `how`
//   what 0xed: the file behind the guest's memory is cut to 64 times `how` bytes, and has its length again afterwards
//   else a request of this number, with descriptors: how & 3 of them, memory or (how & 4) eventfds
//   how & 8: the bytes are laid over a good payload for this request; else they are the payload
//   how & 16: the bytes are sent as they are, header and all
//   how & 32: no answer is wanted; how & 64: the connection ends first, and a new one begins
#include <unistd.h>

#include <cstring>
#include <memory>
#include <span>

#include "dev/e1000/device.hh"
#include "hostile_end.hh"
#include "proto/vfio_user/server.hh"

namespace {

using namespace unetmap;
using namespace unetmap::fuzz;
using namespace unetmap::vfio_user;

constexpr uint64_t kRegion = 0x4000;
constexpr int kMaxRecords = 48;
constexpr uint8_t kWriteMemory = 0xee, kCutMemory = 0xed;

// The card as the worker joins it to the server.
class Card final : public vfio_user::Device {
 public:
  Server server{*this};

  uint64_t region_bytes(uint32_t region) const override {
    require(region < kRegions, "a region that exists is asked for");
    return region == kConfig ? e1000::Device::kConfigBytes : region <= kBar5 ? card_.bar_bytes(region) : 0;
  }
  uint32_t irqs(uint32_t index) const override {
    require(index < kIrqs, "an interrupt that exists is asked for");
    return index == kIntx || index == kErr ? 1 : index == kMsix ? e1000::Device::kVectors : 0;
  }
  void region_read(uint32_t region, uint64_t offset, std::span<uint8_t> to) override {
    require(offset + to.size() <= region_bytes(region), "what is read lies in the region");
    if (region == kConfig) return card_.read_config(static_cast<uint32_t>(offset), to);
    card_.read_bar(region, offset, to);
  }
  void region_write(uint32_t region, uint64_t offset, std::span<const uint8_t> from) override {
    require(offset + from.size() <= region_bytes(region), "what is written lies in the region");
    if (region == kConfig) return card_.write_config(static_cast<uint32_t>(offset), from);
    card_.write_bar(region, offset, from);
  }
  void reset() override { card_.reset(); }
  void memory_changed() override {}
  void unmask_fd_closing() override { watched_ = -1; }
  void unmask_fd_changed() override { watched_ = server.unmask_fd(); }

  void gone() {
    server.disconnected();
    card_.reset();
    require(server.maps() == 0 && server.memory().regions() == 0, "no memory is left when the client is gone");
    require(watched_ == -1, "nothing is waited for when the client is gone");
  }
  // A turn of the worker's.
  void serve() {
    static e1000::TxFrame frames[e1000::kMaxFetch];
    static const uint8_t frame[300] = {};
    const e1000::Source source[] = {{frame, sizeof frame}};
    card_.advance(now_ns_ += 100'000);
    for (int rounds = 0; rounds < 4; rounds++) {
      const size_t count = card_.fetch(frames);
      if (count == 0) break;
      for (size_t i = 0; i < count; i++)
        for (const e1000::Source& piece : frames[i].pieces) sum_ += piece.front() + piece.back();
      card_.complete(count);
    }
    if (card_.receiving()) {
      (void)card_.deliver({}, source);
      card_.finish();
    }
    server.set_intx(card_.line());
    for (uint32_t vectors = card_.take_vectors(), i = 0; vectors; vectors >>= 1, i++)
      if (vectors & 1) (void)server.signal(i);
    if (!card_.arm_transmit()) card_.disarm();
  }

 private:
  e1000::Device card_{{.mac = {2, 0, 0, 0, 0, 1}, .paravirt = true}, server.memory()};
  int watched_ = -1;
  uint64_t now_ns_ = 1, sum_ = 0;
};

// A payload that this request can have.
size_t good_payload(Command command, uint8_t* to) {
  switch (command) {
    case Command::kVersion: {
      static const char text[] = R"({"capabilities":{"max_msg_fds":16,"write_multiple":true}})";
      const size_t header = put(to, Version{0, 0});
      std::memcpy(to + header, text, sizeof text);
      return header + sizeof text;
    }
    case Command::kDmaMap:
      return put(to, DmaMap{sizeof(DmaMap), kMapReadable | kMapWriteable, 0, 0, kRegion});
    case Command::kDmaUnmap:
      return put(to, DmaUnmap{sizeof(DmaUnmap), 0, 0, kRegion});
    case Command::kGetInfo:
      return put(to, DeviceInfo{sizeof(DeviceInfo), 0, 0, 0});
    case Command::kGetRegionInfo:
      return put(to, RegionInfo{sizeof(RegionInfo), 0, kConfig, 0, 0, 0});
    case Command::kGetIrqInfo:
      return put(to, IrqInfo{sizeof(IrqInfo), 0, kMsix, 0});
    case Command::kSetIrqs:
      return put(to, SetIrqs{sizeof(SetIrqs), kDataEventfd | kActionTrigger, kIntx, 0, 1});
    case Command::kRegionRead:
      return put(to, RegionAccess{0, kBar0, 4});
    case Command::kRegionWrite:
      return put(to + put(to, RegionAccess{4, kConfig, 4}), uint32_t{7}) + sizeof(RegionAccess);
    case Command::kRegionWriteMulti: {
      const size_t header = put(to, uint64_t{2});
      put(to + header, SmallWrite{0x400, kBar0, 4, {2}});
      return header + sizeof(SmallWrite) + put(to + header + sizeof(SmallWrite), SmallWrite{0x100, kBar0, 4, {2}});
    }
    default:
      return 0;
  }
}

class Client {
 public:
  explicit Client(Card& card) : card_(card) { connect(); }

  void connect() {
    card_.gone();
    connection_ = std::make_unique<Connection>(end_.connect());
    uint8_t message[sizeof(Header) + 256];
    const size_t size = sizeof(Header) + good_payload(Command::kVersion, message + sizeof(Header));
    put(message, Header{1, static_cast<uint16_t>(Command::kVersion), static_cast<uint32_t>(size), 0, 0});
    send({message, size}, 0, -1);
  }
  void send(std::span<const uint8_t> bytes, uint8_t how, int memory) { end_.send(bytes, how, memory); }
  // Until nothing more comes; a connection that is refused is followed by a new one.
  void hear() {
    static Reply reply;
    for (;;) {
      auto request = connection_->receive();
      if (!request) return connect();
      if (!*request) break;
      auto answer = card_.server.handle(std::move(**request), reply);
      if (!answer) return connect();
      if (!*answer) continue;
      check(reply);
      if (!connection_->send(reply)) return connect();
      uint8_t taken[sizeof(Header) + kMaxPayload];
      require(end_.receive(taken) == static_cast<ssize_t>(reply.bytes().size()), "an answer is sent whole");
    }
  }

 private:
  static void check(const Reply& reply) {
    Header header;
    require(reply.bytes().size() >= sizeof header && reply.bytes().size() <= sizeof header + kMaxPayload,
            "an answer has a size that can be");
    std::memcpy(&header, reply.bytes().data(), sizeof header);
    require(header.size == reply.bytes().size(), "an answer is as long as it says");
    require((header.flags & kTypeMask) == kReply, "an answer is one");
    require(!(header.flags & kError) || (header.size == sizeof header && header.error != 0),
            "an answer that is an error is nothing else");
  }

  Card& card_;
  HostileEnd end_;
  std::unique_ptr<Connection> connection_;
};

void play(std::span<const uint8_t> input, int memory) {
  auto card = std::make_unique<Card>();
  Client client(*card);
  Record record;
  for (int records = 0; records < kMaxRecords && take_record(input, record); records++) {
    if (record.what == kWriteMemory || record.what == kCutMemory) {
      if (record.what == kWriteMemory) (void)!pwrite(memory, record.bytes.data(), record.bytes.size(), 64 * record.how);
      if (record.what == kCutMemory) (void)!ftruncate(memory, 64 * record.how);
      card->serve();
      (void)!ftruncate(memory, 2 * kRegion);
      continue;
    }
    if (record.reconnects()) client.connect();
    const Message<Header> message(
        record, [&](uint8_t* to) { return good_payload(static_cast<Command>(record.what), to); },
        [&](uint32_t bytes) {
          return Header{7, record.what, static_cast<uint32_t>(sizeof(Header)) + bytes, record.has_flag() ? kNoReply : 0,
                        0};
        });
    client.send(message.bytes(), record.how, memory);
    client.hear();
    card->serve();
  }
  card->gone();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  play_with_memory(2 * kRegion, [&](int memory) { play({data, size}, memory); });
  return 0;
}
