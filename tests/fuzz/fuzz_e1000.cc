// SPDX-License-Identifier: BSD-2-Clause
// A guest's driver against an e1000: registers of any value at any time, and memory that says anything. The input is a
// list of steps, then an image of guest memory. What comes out lies in memory that is there, and each step ends.
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <memory>

#include "dev/e1000/device.hh"
#include "dev/e1000/registers.hh"
#include "require.hh"

namespace {

using namespace unetmap;
using namespace unetmap::e1000;
using unetmap::fuzz::require;

constexpr uint64_t kMemory = 0x1'0000, kRegion = kMemory / 2, kUser = 0x7000'0000;
constexpr size_t kStep = 6;  // bytes: what, where (2, or more of what), a word

struct Guest {
  UniqueFd fd{memfd_create("guest", MFD_CLOEXEC)};
  guest::GuestMemory memory;

  Guest() {
    require(ftruncate(fd.get(), kMemory) == 0, "memory");
    map(0);
    map(1);
  }
  guest::Region region(uint64_t i) const { return {i * kRegion, kRegion, kUser + i * kRegion, i * kRegion}; }
  void map(uint64_t i) { require(memory.add(region(i), fd.get()).has_value(), "region"); }
};

// Registers that matter, so that inputs need not find them.
constexpr uint32_t kRegisters[] = {
    reg::kCtrl, reg::kStatus, reg::kEecd, reg::kEerd,   reg::kMdic,   reg::kVet,   reg::kIcr,   reg::kItr,
    reg::kIcs,  reg::kIms,    reg::kImc,  reg::kRctl,   reg::kTctl,   reg::kRdbal, reg::kRdbah, reg::kRdlen,
    reg::kRdh,  reg::kRdt,    reg::kRdtr, reg::kRadv,   reg::kTdbal,  reg::kTdbah, reg::kTdlen, reg::kTdh,
    reg::kTdt,  reg::kTidv,   reg::kTadv, reg::kTxdctl, reg::kRxcsum, reg::kCsbah, reg::kCsbal, reg::kRa + 4};

class Machine {
 public:
  Machine(Guest& guest, bool paravirt)
      : guest_(guest), device_({.mac = {2, 0, 0, 0, 0, 1}, .paravirt = paravirt}, guest.memory) {
    const uint8_t command[] = {7, 0};
    device_.write_config(4, command);
    device_.advance(now_);
    // A driver that has begun: both rings, both directions.
    for (const auto& [at, value] : {std::pair{reg::kTdbal, 0u},
                                    {reg::kTdlen, 512u},
                                    {reg::kRdbal, 0x200u},
                                    {reg::kRdlen, 512u},
                                    {reg::kRctl, 0x801au},
                                    {reg::kTctl, 0xau},
                                    {reg::kRdt, 31u},
                                    {reg::kIms, ~0u}})
      write(at, value);
  }
  void step(const uint8_t* in) {
    uint32_t word;
    std::memcpy(&word, in + 2, 4);
    device_.advance(now_ += in[1]);
    switch (in[0] & 7) {
      case 0:
      case 1:
        return write(kRegisters[in[1] % std::size(kRegisters)], word);
      case 2:
        work_ += read(kRegisters[in[1] % std::size(kRegisters)]);
        return;
      case 3:
        return transmit(in[1] % kMaxFetch + 1u, word % (kMaxFetch + 1));
      case 4:
        return receive(in[1], word);
      case 5:
        return sleep(in[1], word);
      case 6:
        return put(word, in[1]);
      default:
        return remap(in[1], word);
    }
  }

 private:
  void write(uint32_t at, uint32_t value) {
    uint8_t bytes[4];
    std::memcpy(bytes, &value, 4);
    device_.write_bar(0, at, bytes);
  }
  uint32_t read(uint32_t at) {
    uint32_t value;
    uint8_t bytes[4];
    device_.read_bar(0, at, bytes);
    std::memcpy(&value, bytes, 4);
    return value;
  }
  void transmit(size_t most, size_t accept) {
    const size_t count = device_.fetch(std::span(frames_).first(most));
    require(count <= most, "no more frames than wanted");
    for (size_t i = 0; i < count; i++) {
      const TxFrame& frame = frames_[i];
      require(!frame.pieces.empty() && frame.pieces.size() <= kMaxFramePieces, "pieces");
      require(frame.pieces[0].size() >= 14, "addresses in the first piece");
      uint64_t bytes = 0;
      for (const Source& piece : frame.pieces) {
        bytes += piece.size();
        work_ += piece.front() + piece.back();
      }
      require(bytes == frame.bytes && bytes <= kMaxFrameBytes, "the pieces make up the frame");
      if (frame.hdr.flags)
        require(frame.hdr.csum_start + frame.hdr.csum_offset + 2u <= bytes, "a checksum in its frame");
      if (frame.hdr.gso_type) require(frame.hdr.gso_size != 0 && frame.hdr.hdr_len < bytes, "segments");
    }
    if (accept != kMaxFetch) device_.complete(count < accept ? count : accept);
  }
  void receive(uint32_t bytes, uint32_t word) {
    bytes = 14 + bytes * (word >> 24);
    for (size_t i = 0; i < sizeof frame_; i++) frame_[i] = static_cast<uint8_t>(i < 6 ? 0xff : i * word);
    frame_[12] = word & 1 ? 0x81 : 8;
    frame_[13] = 0;
    if (bytes > sizeof frame_) bytes = sizeof frame_;
    const Source whole(frame_, bytes), pieces[] = {whole.first(bytes / 3), whole.subspan(bytes / 3)};
    const vale::VnetHdr hdr{.flags = static_cast<uint8_t>(word >> 1 & 3),
                            .gso_type = static_cast<uint8_t>(word & 64 ? word >> 3 & 7 : 0),
                            .hdr_len = 54,
                            .gso_size = static_cast<uint16_t>(word >> 8 & 0xff),
                            .csum_start = 34,
                            .csum_offset = 16};
    for (int i = 0; i < 3; i++) work_ += static_cast<unsigned>(device_.deliver(hdr, pieces));
    if (word & 128) device_.finish();
  }
  void sleep(uint32_t what, uint32_t word) {
    work_ += device_.arm_transmit() + device_.arm_receive() + device_.line() + device_.take_vectors();
    require(device_.deadline_ns() >= 1, "a deadline");
    now_ += word;
    if (what & 1) device_.disarm();
    if (what & 2) device_.set_link((what & 4) != 0);
    if (what & 8) device_.missed();
    if ((what & 0xf0) == 0xf0) device_.reset();
    const uint8_t bytes[] = {static_cast<uint8_t>(word), static_cast<uint8_t>(word >> 8)};
    device_.write_config(what & 16 ? 4 : what, bytes);
  }
  // The driver writes memory meanwhile.
  void put(uint32_t word, uint8_t value) {
    if (uint8_t* const at = guest_.memory.at(word % kMemory, 1)) *at = value;
  }
  void remap(uint32_t what, uint32_t word) {
    require(guest_.memory.remove(guest_.region(1)).has_value(), "remove");
    if (what & 1) transmit(kMaxFetch, kMaxFetch);
    if (what & 2) device_.complete(what);
    if (what & 4) receive(what, word);
    if (what & 8) sleep(0, word);
    guest_.map(1);
  }

  Guest& guest_;
  uint64_t now_ = 1;
  Device device_;
  TxFrame frames_[kMaxFetch];
  uint8_t frame_[9000];
  uint64_t work_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Guest guest;
  if (size < 2 || size < 2 + data[1] * kStep) return 0;
  const uint8_t* image = data + 2 + data[1] * kStep;
  const size_t left = size - 2 - data[1] * kStep;
  for (uint64_t i = 0; i < 2; i++) {
    const size_t from = i * kRegion < left ? i * kRegion : left, bytes = left - from < kRegion ? left - from : kRegion;
    uint8_t* const region = guest.memory.at(i * kRegion, kRegion);
    std::memcpy(region, image + from, bytes);
    std::memset(region + bytes, 0, kRegion - bytes);
  }
  const auto machine = std::make_unique<Machine>(guest, (data[0] & 1) != 0);
  for (size_t i = 0; i < data[1]; i++) machine->step(data + 2 + i * kStep);
  return 0;
}
