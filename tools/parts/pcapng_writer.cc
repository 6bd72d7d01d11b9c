// SPDX-License-Identifier: BSD-2-Clause
#include "pcapng_writer.hh"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>

namespace unetmap::parts {
namespace {

constexpr size_t kFlushBytes = 65536;

// Block types, and option codes within them.
constexpr uint32_t kSectionHeader = 0x0a0d0d0a, kInterface = 1, kStatistics = 5, kPacket = 6;
constexpr uint16_t kEnd = 0, kComment = 1;
constexpr uint16_t kSectionProgram = 4;
constexpr uint16_t kInterfaceName = 2, kInterfaceDescription = 3, kInterfaceResolution = 9, kInterfaceFilter = 11;
constexpr uint16_t kPacketFlags = 2, kPacketLost = 4;
constexpr uint16_t kStatisticsStart = 2, kStatisticsEnd = 3, kStatisticsReceived = 4, kStatisticsLost = 5,
                   kStatisticsAccepted = 6;

constexpr uint32_t kByteOrder = 0x1a2b3c4d;
constexpr uint16_t kEthernet = 1;
constexpr uint8_t kNanoseconds = 9;
constexpr uint8_t kFilterIsText = 0;

// Blocks begin at multiples of 4, as all parts are such.
constexpr size_t padded(size_t bytes) { return (bytes + 3) / 4 * 4; }

// How a block of a packet begins. Times' high halves come first, in either byte order.
struct PacketHead {
  uint32_t type, block_bytes, interface, time_high, time_low, captured_bytes, original_bytes;
};
static_assert(sizeof(PacketHead) == 28 && std::endian::native == std::endian::little);

}  // namespace

void PcapngWriter::grow(size_t bytes) {
  size_t more = std::max(2 * capacity_, 2 * kFlushBytes);
  while (pending_bytes_ + bytes > more) more *= 2;
  std::unique_ptr<uint8_t[]> larger(new uint8_t[more]);
  std::copy_n(pending_.get(), pending_bytes_, larger.get());
  pending_ = std::move(larger);
  capacity_ = more;
}

// Room for so many bytes behind what is pending.
inline uint8_t* PcapngWriter::room(size_t bytes) {
  if (pending_bytes_ + bytes > capacity_) [[unlikely]]
    grow(bytes);
  uint8_t* at = pending_.get() + pending_bytes_;
  pending_bytes_ += bytes;
  return at;
}

// All numbers are little-endian, as the byte order mark says.
inline void PcapngWriter::number(uint64_t value, size_t bytes) { memcpy(room(bytes), &value, bytes); }

void PcapngWriter::padded_bytes(std::span<const uint8_t> bytes) {
  const size_t all = padded(bytes.size());
  uint8_t* at = room(all);
  std::copy(bytes.begin(), bytes.end(), at);
  std::fill(at + bytes.size(), at + all, uint8_t{0});
}

void PcapngWriter::option(uint16_t code, std::span<const uint8_t> value) {
  const size_t bytes = std::min<size_t>(value.size(), 65535);
  number(code, 2);
  number(bytes, 2);
  padded_bytes(value.first(bytes));
}

void PcapngWriter::option(uint16_t code, std::string_view text) {
  if (!text.empty()) option(code, std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
}

inline void PcapngWriter::option(uint16_t code, uint64_t value, size_t bytes) {
  number(code, 2);
  number(bytes, 2);
  number(value, padded(bytes));
}

void PcapngWriter::time(uint64_t ns) {
  number(ns >> 32, 4);
  number(ns & 0xffffffff, 4);
}

void PcapngWriter::time_option(uint16_t code, uint64_t ns) {
  number(code, 2);
  number(8, 2);
  time(ns);
}

size_t PcapngWriter::begin(uint32_t type) {
  const size_t block = pending_bytes_;
  number(type, 4);
  number(0, 4);
  return block;
}

// Closes the options, and writes the block's length at both ends.
void PcapngWriter::end(size_t block) {
  option(kEnd, 0, 0);
  const uint32_t bytes = uint32_t(pending_bytes_ - block + 4);
  number(bytes, 4);
  memcpy(pending_.get() + block + offsetof(PacketHead, block_bytes), &bytes, sizeof bytes);
}

PcapngWriter::PcapngWriter(UniqueFd file, const Origin& origin)
    : file_(std::move(file)), snapshot_bytes_(origin.snapshot_bytes), filter_(origin.filter) {
  const size_t block = begin(kSectionHeader);
  number(kByteOrder, 4);
  number(1, 2);  // version 1.0
  number(0, 2);
  number(~uint64_t{0}, 8);  // the section's length is not known
  option(kSectionProgram, origin.program);
  end(block);
  add_interface(origin.interface, origin.description);
}

uint32_t PcapngWriter::add_interface(const std::string& name, const std::string& description) {
  const size_t block = begin(kInterface);
  number(kEthernet, 2);
  number(0, 2);
  number(snapshot_bytes_, 4);
  option(kInterfaceName, name);
  option(kInterfaceDescription, description);
  option(kInterfaceResolution, kNanoseconds, 1);
  if (!filter_.empty()) option(kInterfaceFilter, std::string(1, char(kFilterIsText)) + filter_);
  end(block);
  return interfaces_++;
}

Result<void> PcapngWriter::write(const Packet& packet) {
  const size_t block = pending_bytes_, stored = padded(packet.bytes.size());
  const PacketHead head{kPacket,
                        0,
                        packet.interface,
                        uint32_t(packet.time_ns >> 32),
                        uint32_t(packet.time_ns),
                        uint32_t(packet.bytes.size()),
                        uint32_t(packet.original_bytes)};
  uint8_t* const at = room(sizeof head + stored);
  memset(at + sizeof head + stored - 4, 0, 4);
  memcpy(at, &head, sizeof head);
  std::copy(packet.bytes.begin(), packet.bytes.end(), at + sizeof head);
  option(kComment, packet.comment);
  if (packet.direction != Direction::kUnknown) option(kPacketFlags, uint32_t(packet.direction), 4);
  if (packet.lost_before) option(kPacketLost, packet.lost_before, 8);
  end(block);
  return pending_bytes_ < kFlushBytes ? Result<void>() : flush();
}

// After a failure: a file ends with the last block that went into it whole, so that readers take it.
void PcapngWriter::cut(size_t written) {
  size_t whole = 0;
  for (uint32_t bytes; whole + 8 <= written; whole += bytes) {
    memcpy(&bytes, pending_.get() + whole + offsetof(PacketHead, block_bytes), sizeof bytes);
    if (bytes > written - whole) break;
  }
  struct stat is;
  if (fstat(file_.get(), &is) == 0 && S_ISREG(is.st_mode)) (void)!ftruncate(file_.get(), off_t(written_ + whole));
  pending_bytes_ = 0;
}

Result<void> PcapngWriter::flush() {
  size_t done = 0;
  while (done < pending_bytes_) {
    const ssize_t written = ::write(file_.get(), pending_.get() + done, pending_bytes_ - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      Error why = Error::from_errno(errno, "capture: write");
      cut(done);
      return why;
    }
    done += size_t(written);
  }
  written_ += done;
  pending_bytes_ = 0;
  return {};
}

Result<void> PcapngWriter::finish(const Totals& totals) {
  const size_t block = begin(kStatistics);
  number(0, 4);
  time(totals.end_ns);
  time_option(kStatisticsStart, totals.start_ns);
  time_option(kStatisticsEnd, totals.end_ns);
  option(kStatisticsReceived, totals.received, 8);
  option(kStatisticsLost, totals.lost, 8);
  option(kStatisticsAccepted, totals.accepted, 8);
  end(block);
  return flush();
}

}  // namespace unetmap::parts
