// SPDX-License-Identifier: BSD-2-Clause
// A walk over the blocks of a pcapng file: type, length, body, length again. Only section headers, which tell the byte
// order, and interface descriptions are looked into. What makes no sense ends the walk: libpcap will say so.
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
#include <vector>

namespace unetmap::parts {
namespace {

constexpr uint32_t kSection = 0x0a0d0d0a, kInterfaceBlock = 1;
constexpr uint32_t kOrder = 0x1a2b3c4d, kOrderSwapped = 0x4d3c2b1a;
constexpr uint16_t kNameOption = 2, kCheckOption = 13;
constexpr uint32_t kLongestSnapshot = 262144;  // as libpcap has it; 0 means no limit
constexpr size_t kHead = 8, kInterfaceFixed = 8, kMostOptions = 65536;

struct Close {
  void operator()(FILE* file) const { fclose(file); }
};
using File = std::unique_ptr<FILE, Close>;

// Only what can be read again from its beginning.
File open_regular(const std::string& path) {
  File file(fopen(path.c_str(), "re"));
  struct stat status;
  if (file && (fstat(fileno(file.get()), &status) != 0 || !S_ISREG(status.st_mode))) file.reset();
  return file;
}

struct Description {
  uint16_t link_type = 0;
  uint32_t snapshot = 0;
  uint32_t check_bytes = 0;
  std::string name;
};

class Walk {
 public:
  explicit Walk(FILE* file) : file_(file) {}
  // The next interface of the file; none at its end, at a section whose byte order is not the first one's, or where it
  // makes no sense.
  std::optional<Description> next();
  // Which section has another byte order than section 0, once next() has come to it.
  std::optional<size_t> swapped_section() const { return swapped_section_; }

 private:
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
  Description description(const std::vector<uint8_t>& body) const;

  FILE* file_;
  bool swapped_ = false;
  size_t sections_ = 0;
  std::optional<size_t> swapped_section_;
};

Description Walk::description(const std::vector<uint8_t>& body) const {
  Description out{half(body.data()), word(body.data() + 4), 0, {}};
  if (out.snapshot == 0 || out.snapshot > kLongestSnapshot) out.snapshot = kLongestSnapshot;
  for (size_t at = kInterfaceFixed; at + 4 <= body.size();) {
    const uint16_t code = half(&body[at]), bytes = half(&body[at + 2]);
    at += 4;
    if (code == 0 || at + bytes > body.size()) break;
    if (code == kNameOption) out.name.assign(reinterpret_cast<const char*>(&body[at]), bytes);
    if (code == kCheckOption && bytes == 1) out.check_bytes = body[at];
    at += (bytes + 3u) / 4 * 4;
  }
  return out;
}

std::optional<Description> Walk::next() {
  for (;;) {
    uint8_t head[kHead + 4];
    if (fread(head, 1, kHead, file_) != kHead) return std::nullopt;
    size_t read = kHead;
    uint32_t type;
    memcpy(&type, head, sizeof type);
    if (type == kSection) {  // reads the same in both orders
      if (fread(head + kHead, 1, 4, file_) != 4) return std::nullopt;
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
    if (word(head) != kInterfaceBlock) {
      if (fseeko(file_, off_t(bytes - read), SEEK_CUR) != 0) return std::nullopt;
      continue;
    }
    std::vector<uint8_t> body(bytes - read - 4);
    if (body.size() < kInterfaceFixed || body.size() > kMostOptions) return std::nullopt;
    uint8_t trailer[4];
    if (fread(body.data(), 1, body.size(), file_) != body.size() || fread(trailer, 1, 4, file_) != 4)
      return std::nullopt;
    return description(body);
  }
}

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

}  // namespace

FileKind kind_of_capture(const std::string& path) {
  File file = open_regular(path);
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

uint32_t pcapng_check_bytes(const std::string& path) {
  File file = open_regular(path);
  if (!file) return 0;
  const std::optional<Description> first = Walk(file.get()).next();
  return first ? first->check_bytes : 0;
}

std::string mixed_interfaces(const std::string& path) {
  File file = open_regular(path);
  if (!file) return {};
  Walk walk(file.get());
  const std::optional<Description> first = walk.next();
  for (size_t number = 1;; number++) {
    const std::optional<Description> other = first ? walk.next() : std::nullopt;
    if (std::optional<size_t> section = walk.swapped_section()) {
      return fmt::format(
          "section {} has another byte order than section 0, which libpcap does not read; make one file of it by: "
          "editcap -F nsecpcap FILE NEWFILE",
          *section);
    }
    if (!other) return {};
    if (other->link_type != first->link_type) {
      return fmt::format(
          "{} has packets of {} and {} of {}, and a file is played as a whole; save the packets of one interface into "
          "a file of their own",
          called(0, *first), link_name(first->link_type), called(number, *other), link_name(other->link_type));
    }
    if (other->snapshot != first->snapshot) {
      return fmt::format(
          "{} was captured with {} bytes of a packet and {} with {}, which libpcap does not read; make one "
          "file of it by: editcap -F nsecpcap FILE NEWFILE",
          called(0, *first), first->snapshot, called(number, *other), other->snapshot);
    }
    if (other->check_bytes != first->check_bytes) {
      return fmt::format(
          "frames of {} end with {} bytes of check sequence and those of {} with {}, and a file is played as a whole; "
          "save the packets of one interface into a file of their own",
          called(0, *first), first->check_bytes, called(number, *other), other->check_bytes);
    }
  }
}

}  // namespace unetmap::parts
