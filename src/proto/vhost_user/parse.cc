// SPDX-License-Identifier: BSD-2-Clause
#include "proto/vhost_user/parse.hh"

namespace unetmap::vhost_user {
namespace {

struct Rule {
  Id id;
  Expected expected;
};

constexpr uint32_t kU64 = 8, kState = sizeof(VringState);
constexpr Rule kRules[] = {
    {Id::kGetFeatures, {"GET_FEATURES", 0, 0, 0, 0, -1, true}},
    {Id::kSetFeatures, {"SET_FEATURES", kU64, kU64, 0, 0, -1, false}},
    {Id::kSetOwner, {"SET_OWNER", 0, 0, 0, 0, -1, false}},
    {Id::kResetOwner, {"RESET_OWNER", 0, 0, 0, 0, -1, false}},
    {Id::kSetMemTable, {"SET_MEM_TABLE", 8, sizeof(MemTable), 0, kMaxTableRegions, -1, false}},
    {Id::kSetLogBase, {"SET_LOG_BASE", sizeof(LogArea), sizeof(LogArea), 1, 1, kLogShmfd, true}},
    {Id::kSetLogFd, {"SET_LOG_FD", 0, kU64, 0, 1, -1, false}},
    {Id::kSetVringNum, {"SET_VRING_NUM", kState, kState, 0, 0, -1, false}},
    {Id::kSetVringAddr, {"SET_VRING_ADDR", sizeof(VringAddr), sizeof(VringAddr), 0, 0, -1, false}},
    {Id::kSetVringBase, {"SET_VRING_BASE", kState, kState, 0, 0, -1, false}},
    {Id::kGetVringBase, {"GET_VRING_BASE", kState, kState, 0, 0, -1, true}},
    {Id::kSetVringKick, {"SET_VRING_KICK", kU64, kU64, 0, 1, -1, false}},
    {Id::kSetVringCall, {"SET_VRING_CALL", kU64, kU64, 0, 1, -1, false}},
    {Id::kSetVringErr, {"SET_VRING_ERR", kU64, kU64, 0, 1, -1, false}},
    {Id::kGetProtocolFeatures, {"GET_PROTOCOL_FEATURES", 0, 0, 0, 0, -1, true}},
    {Id::kSetProtocolFeatures, {"SET_PROTOCOL_FEATURES", kU64, kU64, 0, 0, -1, false}},
    {Id::kGetQueueNum, {"GET_QUEUE_NUM", 0, 0, 0, 0, kMq, true}},
    {Id::kSetVringEnable, {"SET_VRING_ENABLE", kState, kState, 0, 0, -1, false}},
    {Id::kSendRarp, {"SEND_RARP", kU64, kU64, 0, 0, kRarp, false}},
    {Id::kNetSetMtu, {"NET_SET_MTU", kU64, kU64, 0, 0, kMtu, false}},
    {Id::kSetBackendReqFd, {"SET_BACKEND_REQ_FD", 0, 0, 1, 1, kBackendReq, false}},
    {Id::kResetDevice, {"RESET_DEVICE", 0, 0, 0, 0, kResetsDevice, false}},
    {Id::kGetMaxMemSlots, {"GET_MAX_MEM_SLOTS", 0, 0, 0, 0, kConfigureMemSlots, true}},
    {Id::kAddMemReg, {"ADD_MEM_REG", sizeof(SingleRegion), sizeof(SingleRegion), 1, 1, kConfigureMemSlots, false}},
    // Some front-ends send the descriptor once more; it is closed unused.
    {Id::kRemMemReg, {"REM_MEM_REG", sizeof(SingleRegion), sizeof(SingleRegion), 0, 1, kConfigureMemSlots, false}},
    {Id::kSetStatus, {"SET_STATUS", kU64, kU64, 0, 0, kStatus, false}},
    {Id::kGetStatus, {"GET_STATUS", 0, 0, 0, 0, kStatus, true}},
};

const Rule* find(uint32_t request) {
  for (const Rule& rule : kRules)
    if (uint32_t(rule.id) == request) return &rule;
  return nullptr;
}

Error wrong(uint32_t request, const std::string& cause) { return {EPROTO, name_of(request) + ": " + cause}; }

// Rules that join payload and descriptors.
Result<void> check_fds(const Request& request) {
  size_t fds = request.fds.size();
  auto count_for = [&](size_t wanted, const char* what) -> Result<void> {
    if (fds == wanted) return {};
    return wrong(uint32_t(request.id),
                 std::to_string(fds) + " descriptors, " + std::to_string(wanted) + " needed for " + what);
  };
  switch (request.id) {
    case Id::kSetMemTable: {
      auto table = request.as<MemTable>();
      if (table.count > kMaxTableRegions)
        return wrong(uint32_t(request.id), std::to_string(table.count) + " regions, at most 8 can be told so");
      // Front-ends may send room for more regions than they name: User Mode Linux does for two, others for all.
      uint32_t needed = 8 + table.count * uint32_t(sizeof(MemRegion));
      if (request.size < needed)
        return wrong(uint32_t(request.id),
                     std::to_string(request.size) + " bytes for " + std::to_string(table.count) + " regions");
      return count_for(table.count, "as many regions");
    }
    case Id::kSetVringKick:
    case Id::kSetVringCall:
    case Id::kSetVringErr:
      if (request.as<uint64_t>() & ~(kVringIndexMask | kVringNoFd))
        return wrong(uint32_t(request.id), "unknown bits set");
      return count_for(request.as<uint64_t>() & kVringNoFd ? 0 : 1, "what its flags say");
    default:
      return {};
  }
}

}  // namespace

std::string name_of(uint32_t request) {
  const Rule* rule = find(request);
  return rule ? rule->expected.name : "request " + std::to_string(request);
}

Result<const Expected*> expect(const Header& header) {
  if ((header.flags & kVersionMask) != kVersion)
    return wrong(header.request, "version " + std::to_string(header.flags & kVersionMask) + " of the protocol, not 1");
  if (header.flags & kReply) return wrong(header.request, "an answer to nothing that was asked");
  if (header.flags & ~(kVersionMask | kReply | kNeedReply)) return wrong(header.request, "unknown flags");
  const Rule* rule = find(header.request);
  if (!rule) return wrong(header.request, "not known or not offered");
  if (header.size < rule->expected.min_size || header.size > rule->expected.max_size)
    return wrong(
        header.request,
        std::to_string(header.size) + " bytes of payload, not " + std::to_string(rule->expected.min_size) +
            (rule->expected.max_size == rule->expected.min_size ? ""
                                                                : " to " + std::to_string(rule->expected.max_size)));
  return &rule->expected;
}

Result<Request> parse(const Header& header, std::span<const uint8_t> payload, std::vector<UniqueFd>&& fds) {
  Request request;
  request.fds = std::move(fds);
  auto rule = expect(header);
  if (!rule) return rule.error();
  if (payload.size() != header.size) return wrong(header.request, "payload cut short");
  request.id = Id(header.request);
  request.need_reply = header.flags & kNeedReply;
  request.size = header.size;
  memcpy(request.payload.data(), payload.data(), payload.size());
  return request;
}

Result<void> check(const Request& request) {
  const Rule* rule = find(uint32_t(request.id));
  if (!rule) return wrong(uint32_t(request.id), "not known or not offered");
  const Expected& expected = rule->expected;
  if (request.fds.size() < expected.min_fds || request.fds.size() > expected.max_fds)
    return wrong(uint32_t(request.id), std::to_string(request.fds.size()) + " descriptors, " +
                                           std::to_string(expected.min_fds) + " to " +
                                           std::to_string(expected.max_fds) + " can be");
  return check_fds(request);
}

}  // namespace unetmap::vhost_user
