// SPDX-License-Identifier: BSD-2-Clause
// Our device as a target: everything it has to do is done at once.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "dev/e1000/device.hh"
#include "script.hh"
#include "vale/offload.hh"

namespace oracle {

namespace e1000 = unetmap::e1000;
namespace vale = unetmap::vale;

class Ours final : public Target {
 public:
  static constexpr uint64_t kBase = 0x10'0000, kBytes = 16 << 20;

  explicit Ours(const std::array<uint8_t, 6>& mac) : device_({.mac = mac}, memory_) {
    unetmap::UniqueFd fd(memfd_create("guest", MFD_CLOEXEC));
    if (ftruncate(fd.get(), kBytes) < 0 || !memory_.add({kBase, kBytes, kBase, 0}, fd.get())) std::abort();
    const uint8_t command[] = {7, 0};
    device_.write_config(4, command);
    device_.advance(now_);
  }
  void write(uint32_t offset, uint32_t value) override {
    uint8_t bytes[4];
    memcpy(bytes, &value, 4);
    device_.write_bar(0, offset, bytes);
    work();
    pass(kBetween_ns);
  }
  uint32_t read(uint32_t offset) override {
    uint8_t bytes[4];
    device_.read_bar(0, offset, bytes);
    uint32_t value;
    memcpy(&value, bytes, 4);
    return value;
  }
  void put(uint64_t address, const Bytes& bytes) override {
    memcpy(memory_.at(address, bytes.size()), bytes.data(), bytes.size());
  }
  Bytes get(uint64_t address, size_t bytes) override {
    const uint8_t* const at = memory_.at(address, bytes);
    return {at, at + bytes};
  }
  void frame(const Bytes& bytes) override {
    const e1000::Source source(bytes);
    if (device_.deliver({}, {&source, 1}) == e1000::Delivery::kNoBuffers) device_.missed();
    device_.finish();
    pass(kBetween_ns);
  }
  std::vector<Bytes> sent() override { return std::move(sent_); }
  void pass(uint64_t ns) override {
    device_.advance(now_ += ns);
    work();
  }
  bool line() override { return device_.line(); }

 private:
  void work() {
    e1000::TxFrame frames[e1000::kMaxFetch];
    while (const size_t count = device_.fetch(frames)) {
      for (size_t i = 0; i < count; i++) finish(frames[i]);
      device_.complete(count);
    }
  }
  // As it would stand on a wire: by the switch's segmentation.
  void finish(const e1000::TxFrame& frame) {
    Bytes in(vale::kVnetHdrBytes);
    memcpy(in.data(), &frame.hdr, in.size());
    for (const e1000::Source& piece : frame.pieces) in.insert(in.end(), piece.begin(), piece.end());
    vale::Segmenter segmenter;
    if (segmenter.start(in, vale::kVnetHdrBytes, {.hdr_len = 0, .takes_offloads = false}) != vale::Refusal::kNone)
      return;
    Bytes out(0x2'0000);
    while (const size_t bytes = segmenter.next(out)) sent_.emplace_back(out.begin(), out.begin() + long(bytes));
  }

  unetmap::guest::GuestMemory memory_;
  e1000::Device device_;
  uint64_t now_ = 1'000'000'000;
  std::vector<Bytes> sent_;
};

}  // namespace oracle
