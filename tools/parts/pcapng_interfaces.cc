// SPDX-License-Identifier: BSD-2-Clause
// A walk over the blocks of a pcapng file: type, length, body, length again. Only section headers, which tell the byte
// order, interface descriptions and the options of packets are looked into. What makes no sense ends the walk: libpcap
// will say so.
#include "pcapng_interfaces.hh"

#include <byteswap.h>
#include <fmt/core.h>
#include <pcap/pcap.h>
#include <sys/stat.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace unetmap::parts {
namespace {

constexpr uint32_t kSection = 0x0a0d0d0a, kInterfaceBlock = 1;
constexpr uint32_t kOldPacketBlock = 2, kSimplePacketBlock = 3, kPacketBlock = 6;
constexpr uint32_t kOrder = 0x1a2b3c4d, kOrderSwapped = 0x4d3c2b1a;
constexpr uint16_t kNameOption = 2, kCheckOption = 13;  // of interfaces
constexpr uint16_t kFlagsOption = 2;                    // of packets
constexpr uint32_t kLongestSnapshot = 262144;           // as libpcap has it; 0 means no limit
constexpr size_t kHead = 8, kInterfaceFixed = 8, kPacketFixed = 20, kStoredAt = 12, kMostOptions = 65536;

struct Description {
  uint16_t link_type = 0;
  uint32_t snapshot = 0;
  uint32_t check_bytes = 0;
  std::string name;
};

// Calls visit(code, value) for each option of a list.
template <typename Half, typename Visit>
void each_option(std::span<const uint8_t> list, Half half, Visit visit) {
  for (size_t at = 0; at + 4 <= list.size();) {
    const uint16_t code = half(&list[at]), bytes = half(&list[at + 2]);
    at += 4;
    if (code == 0 || at + bytes > list.size()) break;
    visit(code, list.subspan(at, bytes));
    at += (bytes + 3u) / 4 * 4;
  }
}

}  // namespace

class PcapngWalk {
 public:
  struct Close {
    void operator()(FILE* file) const { fclose(file); }
  };
  using File = std::unique_ptr<FILE, Close>;

  explicit PcapngWalk(const std::string& path) : file_(open_regular(path)) {}
  // Only what can be read again from its beginning.
  static File open_regular(const std::string& path);
  // The next interface of the file; none at its end, at a section whose byte order is not the first one's, or where it
  // makes no sense.
  std::optional<Description> next_interface();
  // The check bytes that the next packet says it ends with, 0 if it says nothing; none where next_interface() ends.
  std::optional<uint32_t> next_packet();
  // Which section has another byte order than section 0, once next_interface() has come to it.
  std::optional<size_t> swapped_section() const { return swapped_section_; }
  // Whether any packet that was passed said what it ends with.
  bool packets_tell() const { return packets_tell_; }

 private:
  struct Block {
    uint32_t type;
    uint32_t left;  // bytes of it that were not read
  };
  std::optional<Block> begin();
  bool skip(uint32_t bytes) { return bytes == 0 || fseeko(file_.get(), off_t(bytes), SEEK_CUR) == 0; }
  std::optional<uint32_t> packet(const Block& block);
  Description description(std::span<const uint8_t> body) const;

  uint32_t word(const uint8_t* at) const {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return swapped_ ? bswap_32(value) : value;
  }
  uint16_t half(const uint8_t* at) const {
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return swapped_ ? bswap_16(value) : value;
  }

  File file_;
  bool swapped_ = false, packets_tell_ = false;
  size_t sections_ = 0;
  std::optional<size_t> swapped_section_;
};

PcapngWalk::File PcapngWalk::open_regular(const std::string& path) {
  File file(fopen(path.c_str(), "re"));
  struct stat status;
  if (file && (fstat(fileno(file.get()), &status) != 0 || !S_ISREG(status.st_mode))) file.reset();
  return file;
}

Description PcapngWalk::description(std::span<const uint8_t> body) const {
  Description out{half(body.data()), word(body.data() + 4), 0, {}};
  if (out.snapshot == 0 || out.snapshot > kLongestSnapshot) out.snapshot = kLongestSnapshot;
  each_option(
      body.subspan(kInterfaceFixed), [this](const uint8_t* at) { return half(at); },
      [&](uint16_t code, std::span<const uint8_t> value) {
        if (code == kNameOption) out.name.assign(value.begin(), value.end());
        if (code == kCheckOption && value.size() == 1) out.check_bytes = value[0];
      });
  return out;
}

std::optional<PcapngWalk::Block> PcapngWalk::begin() {
  uint8_t head[kHead + 4];
  if (!file_ || fread(head, 1, kHead, file_.get()) != kHead) return std::nullopt;
  size_t read = kHead;
  uint32_t type;
  memcpy(&type, head, sizeof type);
  if (type == kSection) {  // reads the same in both orders
    if (fread(head + kHead, 1, 4, file_.get()) != 4) return std::nullopt;
    read += 4;
    uint32_t order;
    memcpy(&order, head + kHead, sizeof order);
    if (order != kOrder && order != kOrderSwapped) return std::nullopt;
    const bool swapped = order == kOrderSwapped;
    if (sections_ > 0 && swapped != swapped_) {
      swapped_section_ = sections_;
      return std::nullopt;
    }
    swapped_ = swapped;
    sections_++;
  }
  const uint32_t bytes = word(head + 4);
  if (bytes < read + 4 || bytes % 4) return std::nullopt;
  return Block{word(head), uint32_t(bytes - read)};
}

// epb_flags, bits 5 to 8; the older packet block has the same at the same places.
std::optional<uint32_t> PcapngWalk::packet(const Block& block) {
  uint8_t fixed[kPacketFixed];
  if (block.left < kPacketFixed + 4 || fread(fixed, 1, kPacketFixed, file_.get()) != kPacketFixed) return std::nullopt;
  const uint64_t stored = (uint64_t{word(fixed + kStoredAt)} + 3) / 4 * 4;
  const uint64_t behind = block.left - kPacketFixed - 4;
  if (stored > behind) return std::nullopt;
  const uint64_t options = behind - stored;
  if (options == 0) return skip(uint32_t(stored) + 4) ? std::optional<uint32_t>(0) : std::nullopt;
  if (options > kMostOptions) return skip(uint32_t(behind) + 4) ? std::optional<uint32_t>(0) : std::nullopt;
  std::vector<uint8_t> list(options);
  if (!skip(uint32_t(stored)) || fread(list.data(), 1, list.size(), file_.get()) != list.size() || !skip(4))
    return std::nullopt;
  uint32_t check_bytes = 0;
  each_option(
      std::span<const uint8_t>(list), [this](const uint8_t* at) { return half(at); },
      [&](uint16_t code, std::span<const uint8_t> value) {
        if (code == kFlagsOption && value.size() == 4) check_bytes = word(value.data()) >> 5 & 15;
      });
  packets_tell_ |= check_bytes > 0;
  return check_bytes;
}

std::optional<uint32_t> PcapngWalk::next_packet() {
  while (std::optional<Block> block = begin()) {
    if (block->type == kPacketBlock || block->type == kOldPacketBlock) return packet(*block);
    if (!skip(block->left)) return std::nullopt;
    if (block->type == kSimplePacketBlock) return 0;
  }
  return std::nullopt;
}

std::optional<Description> PcapngWalk::next_interface() {
  while (std::optional<Block> block = begin()) {
    if (block->type == kPacketBlock || block->type == kOldPacketBlock) {
      if (!packet(*block)) return std::nullopt;
      continue;
    }
    if (block->type != kInterfaceBlock) {
      if (!skip(block->left)) return std::nullopt;
      continue;
    }
    if (block->left < kInterfaceFixed + 4 || block->left > kMostOptions) return std::nullopt;
    std::vector<uint8_t> body(block->left - 4);
    if (fread(body.data(), 1, body.size(), file_.get()) != body.size() || !skip(4)) return std::nullopt;
    return description(body);
  }
  return std::nullopt;
}

namespace {

std::string link_name(uint16_t type) {
  const char* name = pcap_datalink_val_to_name(type);
  return name ? name : fmt::format("link type {}", type);
}

std::string called(size_t number, const Description& interface) {
  if (interface.name.empty()) return fmt::format("interface {}", number);
  std::string name = interface.name.substr(0, 64);
  for (char& c : name)
    if (static_cast<unsigned char>(c) < ' ' || c == 127) c = '?';
  return fmt::format("interface {} ({})", number, name);
}

// What libpcap, or who plays the file, cannot do with interface `number` beside the first one; empty if nothing.
std::string difference(const Description& first, size_t number, const Description& other) {
  if (other.link_type != first.link_type) {
    return fmt::format(
        "{} has packets of {} and {} of {}, and a file is played as a whole; save the packets of one interface into "
        "a file of their own",
        called(0, first), link_name(first.link_type), called(number, other), link_name(other.link_type));
  }
  if (other.snapshot != first.snapshot) {
    return fmt::format(
        "{} was captured with {} bytes of a packet and {} with {}, which libpcap does not read; make one "
        "file of it by: editcap -F nsecpcap FILE NEWFILE",
        called(0, first), first.snapshot, called(number, other), other.snapshot);
  }
  if (other.check_bytes != first.check_bytes) {
    return fmt::format(
        "frames of {} end with {} bytes of check sequence and those of {} with {}, and a file is played as a whole; "
        "save the packets of one interface into a file of their own",
        called(0, first), first.check_bytes, called(number, other), other.check_bytes);
  }
  return {};
}

}  // namespace

FileKind kind_of_capture(const std::string& path) {
  const PcapngWalk::File file = PcapngWalk::open_regular(path);
  uint32_t magic = 0;
  if (!file || fread(&magic, sizeof magic, 1, file.get()) != 1) return FileKind::kUnknown;
  switch (magic) {
    case 0xa1b23c4d:
    case 0x4d3cb2a1:
      return FileKind::kPcapNano;
    case kSection:
      return FileKind::kPcapng;
    default:
      return FileKind::kPcapMicro;
  }
}

PcapngFacts pcapng_facts(const std::string& path) {
  PcapngFacts out;
  PcapngWalk walk(path);
  const std::optional<Description> first = walk.next_interface();
  if (first) out.check_bytes = first->check_bytes;
  size_t number = 1;
  std::optional<Description> other;
  while (first && (other = walk.next_interface()) && out.mixed.empty())
    out.mixed = difference(*first, number++, *other);
  if (std::optional<size_t> section = walk.swapped_section(); section && out.mixed.empty()) {
    out.mixed = fmt::format(
        "section {} has another byte order than section 0, which libpcap does not read; make one file of it by: "
        "editcap -F nsecpcap FILE NEWFILE",
        *section);
  }
  out.packets_tell = walk.packets_tell();
  return out;
}

PacketChecks::PacketChecks(const std::string& path, uint32_t usual)
    : walk_(std::make_unique<PcapngWalk>(path)), usual_(usual) {}
PacketChecks::PacketChecks(PacketChecks&&) noexcept = default;
PacketChecks& PacketChecks::operator=(PacketChecks&&) noexcept = default;
PacketChecks::~PacketChecks() = default;

uint32_t PacketChecks::next() {
  const uint32_t said = walk_->next_packet().value_or(0);
  return said ? said : usual_;
}

}  // namespace unetmap::parts
