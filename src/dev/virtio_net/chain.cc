// SPDX-License-Identifier: BSD-2-Clause
#include "dev/virtio_net/chain.hh"

#include "dev/virtio_net/descriptor.hh"

namespace unetmap::virtio {
namespace {

// The bytes of a descriptor that lies across the border of two regions.
bool gather(const guest::GuestMemory& memory, uint64_t guest, uint8_t* out) noexcept {
  for (size_t done = 0; done < kDescriptorBytes;) {
    const auto piece = memory.piece(guest + done, kDescriptorBytes - done);
    if (piece.at == nullptr) return false;
    std::memcpy(out + done, piece.at, piece.bytes);
    done += piece.bytes;
  }
  return true;
}

}  // namespace

const uint8_t* ChainBatch::gather_front(Chain& chain, uint32_t bytes, uint8_t* out) noexcept {
  chain.readable_bytes -= bytes;
  for (uint8_t* to = out; bytes > 0;) {
    Piece& piece = piece_[chain.first_piece];
    const uint32_t step = piece.bytes < bytes ? piece.bytes : bytes;
    std::memcpy(to, piece.at, step);
    piece.at += step;
    piece.guest += step;
    piece.bytes -= step;
    if (piece.bytes == 0) {
      chain.first_piece++;
      chain.readable--;
    }
    to += step;
    bytes -= step;
  }
  return out;
}

ChainBuilder::Step ChainBuilder::add_table(uint64_t guest, uint32_t bytes, bool linked) noexcept {
  if (bytes == 0 || bytes % kDescriptorBytes != 0 || bytes / kDescriptorBytes > UINT16_MAX + 1u) {
    return fail(RingFault::kIndirectBytes);
  }
  const uint32_t entries = bytes / kDescriptorBytes;
  if (guest + bytes < guest) return fail(RingFault::kIndirectOutside);
  const uint8_t* const table = memory_.at(guest, bytes);
  uint32_t index = 0;
  for (uint32_t taken = 0; taken < entries; taken++) {
    uint8_t copy[kDescriptorBytes];
    const uint8_t* at = copy;
    if (table != nullptr) [[likely]] {
      at = table + size_t{index} * kDescriptorBytes;
    } else if (!gather(memory_, guest + uint64_t{index} * kDescriptorBytes, copy)) {
      return fail(memory_.away(guest) ? RingFault::kAway : RingFault::kIndirectOutside);
    }
    // Both layouts agree on all but the last two fields, which are swapped.
    const SplitDescriptor entry = SplitDescriptor::load(at);
    const uint16_t flags = linked ? entry.flags : entry.next;
    if (flags & kDescIndirect) return fail(RingFault::kIndirectNested);
    if (const Step step = add(entry.address, entry.bytes, flags & kDescWrite); step != Step::kDone) return step;
    if (!linked) {
      index++;
      continue;
    }
    if (!(flags & kDescNext)) return Step::kDone;
    index = entry.next;
    if (index >= entries) return fail(RingFault::kNext);
  }
  return linked ? fail(RingFault::kLoop) : Step::kDone;
}

}  // namespace unetmap::virtio
