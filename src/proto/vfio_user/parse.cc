// SPDX-License-Identifier: BSD-2-Clause
#include "proto/vfio_user/parse.hh"

namespace unetmap::vfio_user {
namespace {

struct Rule {
  Command command;
  Expected expected;
};

constexpr uint32_t kAccess = sizeof(RegionAccess);
constexpr Rule kRules[] = {
    {Command::kVersion, {"VERSION", sizeof(Version), sizeof(Version) + kMaxVersion, 0}},
    {Command::kDmaMap, {"DMA_MAP", sizeof(DmaMap), sizeof(DmaMap), 1}},
    {Command::kDmaUnmap, {"DMA_UNMAP", sizeof(DmaUnmap), sizeof(DmaUnmap), 0}},
    {Command::kGetInfo, {"DEVICE_GET_INFO", sizeof(DeviceInfo), kMaxPayload, 0}},
    {Command::kGetRegionInfo, {"DEVICE_GET_REGION_INFO", sizeof(RegionInfo), kMaxPayload, 0}},
    {Command::kGetRegionIoFds, {"DEVICE_GET_REGION_IO_FDS", 16, kMaxPayload, 0}},
    {Command::kGetIrqInfo, {"DEVICE_GET_IRQ_INFO", sizeof(IrqInfo), kMaxPayload, 0}},
    {Command::kSetIrqs, {"DEVICE_SET_IRQS", sizeof(SetIrqs), sizeof(SetIrqs) + 4 * kMaxIrqs, kMaxFds}},
    {Command::kRegionRead, {"REGION_READ", kAccess, kAccess, 0}},
    {Command::kRegionWrite, {"REGION_WRITE", kAccess, kAccess + kMaxTransfer, 0}},
    {Command::kReset, {"DEVICE_RESET", 0, 0, 0}},
    {Command::kRegionWriteMulti, {"REGION_WRITE_MULTI", 8, kMaxPayload, 0}},
};
constexpr Expected kUnknown{"", 0, kMaxPayload, kMaxFds};

const Expected* find(uint16_t command) {
  for (const Rule& rule : kRules)
    if (uint16_t(rule.command) == command) return &rule.expected;
  return nullptr;
}

Error wrong(uint16_t command, const std::string& cause) { return {EPROTO, name_of(command) + ": " + cause}; }

// Rules that join fields and sizes.
Result<void> check_sizes(const Request& request) {
  const uint64_t bytes = request.payload.size();
  switch (request.command) {
    case Command::kVersion:
      if (bytes > sizeof(Version) && request.payload.back() != 0)
        return wrong(uint16_t(request.command), "its text has no end");
      return {};
    case Command::kRegionWrite: {
      auto access = request.as<RegionAccess>();
      if (bytes != sizeof access + uint64_t(access.count))
        return wrong(uint16_t(request.command), std::to_string(bytes - sizeof access) + " bytes of data, " +
                                                    std::to_string(access.count) + " said");
      return {};
    }
    case Command::kRegionWriteMulti: {
      auto count = request.as<uint64_t>();
      if (count > kMaxSmallWrites || bytes != sizeof count + count * sizeof(SmallWrite))
        return wrong(uint16_t(request.command),
                     std::to_string(bytes) + " bytes of payload for " + std::to_string(count) + " writes");
      return {};
    }
    default:
      return {};
  }
}

}  // namespace

std::string name_of(uint16_t command) {
  const Expected* rule = find(command);
  return rule ? rule->name : "command " + std::to_string(command);
}

Result<const Expected*> expect(const Header& header) {
  if ((header.flags & kTypeMask) != 0) return wrong(header.command, "an answer to nothing that was asked");
  if (header.flags & ~(kTypeMask | kNoReply)) return wrong(header.command, "unknown flags");
  const Expected* rule = find(header.command);
  if (!rule) rule = &kUnknown;
  if (header.size < sizeof(Header)) return wrong(header.command, "shorter than its own header");
  const uint32_t bytes = header.size - uint32_t(sizeof(Header));
  if (bytes < rule->min_bytes || bytes > rule->max_bytes)
    return wrong(header.command,
                 std::to_string(bytes) + " bytes of payload, not " + std::to_string(rule->min_bytes) +
                     (rule->max_bytes == rule->min_bytes ? "" : " to " + std::to_string(rule->max_bytes)));
  return rule;
}

Result<Request> parse(const Header& header, std::span<const uint8_t> payload, std::vector<UniqueFd>&& fds) {
  Request request;
  request.fds = std::move(fds);
  auto rule = expect(header);
  if (!rule) return rule.error();
  if (payload.size() != header.size - sizeof(Header)) return wrong(header.command, "payload cut short");
  if (request.fds.size() > (**rule).max_fds)
    return wrong(header.command, std::to_string(request.fds.size()) + " descriptors, at most " +
                                     std::to_string((**rule).max_fds) + " can be");
  request.command = Command(header.command);
  request.id = header.id;
  request.wants_reply = !(header.flags & kNoReply);
  request.payload = payload;
  if (auto good = check_sizes(request); !good) return good.error();
  return request;
}

}  // namespace unetmap::vfio_user
