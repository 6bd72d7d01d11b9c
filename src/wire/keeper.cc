// SPDX-License-Identifier: BSD-2-Clause
#include "wire/keeper.hh"

#include <algorithm>
#include <cctype>
#include <span>

#include "base/json.hh"
#include "wire/channel.hh"
#include "wire/fast_table.h"

namespace unetmap::wire {
namespace {

constexpr size_t kMaxSentences = 16, kMaxSentence = 512, kMaxFeatures = 128, kMaxFeature = 64;
constexpr const char* kModes[] = {"auto", "native-zerocopy", "native", "generic", "packet", "driver"};
constexpr const char* kEvents[] = {"down", "up", "renamed", "gone", "queues"};

// What is wrong with a message; caught in this file.
struct Malformed {
  std::string text;
};
[[noreturn]] void malformed(std::string text) { throw Malformed{std::move(text)}; }

const Json& member(const Json& from, const char* name) {
  auto found = from.find(name);
  if (found == from.end()) malformed(std::string(name) + " is missing");
  return *found;
}

uint64_t number(const Json& from, const char* name, uint64_t least, uint64_t most) {
  const Json& value = member(from, name);
  if (!value.is_number_unsigned()) malformed(std::string(name) + " is no number");
  auto got = value.get<uint64_t>();
  if (got < least || got > most) malformed(std::string(name) + " is out of range");
  return got;
}

bool truth(const Json& from, const char* name, std::optional<bool> otherwise = {}) {
  if (otherwise && !from.contains(name)) return *otherwise;
  const Json& value = member(from, name);
  if (!value.is_boolean()) malformed(std::string(name) + " is neither true nor false");
  return value.get<bool>();
}

std::string text(const Json& from, const char* name, size_t most) {
  const Json& value = member(from, name);
  if (!value.is_string()) malformed(std::string(name) + " is no text");
  auto got = value.get<std::string>();
  if (got.size() > most) malformed(std::string(name) + " is too long");
  return got;
}

std::string interface(const Json& from, const char* name) {
  auto got = text(from, name, 64);
  if (!interface_name_ok(got)) malformed(std::string(name) + " is no name of a network interface");
  return got;
}

std::vector<std::string> texts(const Json& from, const char* name, size_t most, size_t most_bytes) {
  std::vector<std::string> out;
  if (!from.contains(name)) return out;
  const Json& list = member(from, name);
  if (!list.is_array() || list.size() > most) malformed(std::string(name) + " is no list, or too long");
  for (const Json& each : list) {
    if (!each.is_string()) malformed(std::string(name) + " has something else than texts");
    out.push_back(each.get<std::string>());
    if (out.back().size() > most_bytes) malformed(std::string(name) + " has too long a text");
  }
  return out;
}

MacAddress mac(const Json& from, const char* name) {
  auto got = parse_mac(text(from, name, 17));
  if (!got) malformed(std::string(name) + ": " + got.error().text);
  return *got;
}

template <size_t n>
size_t index_of(const Json& from, const char* name, const char* const (&words)[n]) {
  auto got = text(from, name, 32);
  auto found = std::find(std::begin(words), std::end(words), got);
  if (found == std::end(words)) malformed(std::string(name) + " is not one of those known");
  return size_t(found - std::begin(words));
}

std::vector<uint32_t> queue_list(const Json& list) {
  if (!list.is_array() || list.empty() || list.size() > kMaxKeeperQueues) malformed("queues: 1 to 32 are wanted");
  std::vector<uint32_t> out;
  for (const Json& each : list) {
    if (!each.is_number_unsigned() || each.get<uint64_t>() >= 4096) malformed("queues has something else than queues");
    auto queue = each.get<uint32_t>();
    if (std::find(out.begin(), out.end(), queue) != out.end()) malformed("queues names one twice");
    out.push_back(queue);
  }
  return out;
}

UmemPlace umem(const Json& from) {
  constexpr uint64_t kMost = uint64_t(1) << 40;
  UmemPlace out{number(from, "offset", 0, kMost), number(from, "bytes", 1, kMost),
                uint32_t(number(from, "chunk", 2048, 4096))};
  if (out.chunk & (out.chunk - 1)) malformed("chunk is no power of two");
  if (out.offset % 4096 || out.bytes % 4096) malformed("umem: offset and bytes are multiples of 4096");
  return out;
}

LinkState link_from(const Json& from) {
  LinkState out;
  out.interface = interface(from, "interface");
  out.mac = mac(from, "mac");
  out.mtu = uint32_t(number(from, "mtu", 0, 1 << 20));
  out.up = truth(from, "up");
  out.promiscuous = truth(from, "promiscuous");
  out.messages = texts(from, "messages", kMaxLinkMessages, kMaxLinkBytes);
  return out;
}

// Names of files below /sys, so nothing that leads elsewhere.
std::string sysfs_name(const Json& from, const char* name) {
  auto got = text(from, name, 64);
  if (got.empty() || got[0] == '.' || got.find('/') != std::string::npos) malformed(std::string(name) + " is no name");
  return got;
}

DeviceWay way_from(const Json& from) {
  auto way = way_named(text(from, "way", 16));
  if (!way) malformed("way is not known");
  return *way;
}

std::optional<TakenDevice> taken_from(const Json& from) {
  if (!from.contains("taken")) return std::nullopt;
  const Json& taken = member(from, "taken");
  if (!taken.is_object() || !member(taken, "link").is_object()) malformed("taken is no object");
  return TakenDevice{sysfs_name(taken, "address"), sysfs_name(taken, "driver"), link_from(taken["link"]),
                     uint32_t(number(taken, "tap_index", 0, INT32_MAX)), way_from(taken)};
}

BindRequest bind_from(const Json& from) {
  BindRequest out;
  out.interface = interface(from, "interface");
  out.mode = NicMode(index_of(from, "mode", kModes));
  const Json& queues = member(from, "queues");
  if (queues != "all") out.queues = queue_list(queues);
  if (!member(from, "umem").is_object()) malformed("umem is no object");
  out.umem = umem(from["umem"]);
  out.rx_slots = uint32_t(number(from, "rx_slots", 1, kMaxKeeperSlots));
  out.tx_slots = uint32_t(number(from, "tx_slots", 1, kMaxKeeperSlots));
  out.host = truth(from, "host");
  out.multi_buffer = truth(from, "multi_buffer", false);
  out.promiscuous = truth(from, "promiscuous", false);
  out.straight = truth(from, "straight", false);
  return out;
}

KeeperRequest request_from(const Json& from) {
  std::string op = text(from, "op", 16);
  if (op == "bind") return bind_from(from);
  if (op == "tap") {
    TapRequest out{interface(from, "name"), {}, truth(from, "vnet_hdr")};
    if (from.contains("mac")) out.mac = mac(from, "mac");
    return out;
  }
  if (op == "attach") {
    AttachRequest out{interface(from, "interface"), truth(from, "host"), truth(from, "promiscuous", true), {}};
    if (from.contains("member")) out.member = uint32_t(number(from, "member", 0, FAST_MEMBERS - 1));
    return out;
  }
  if (op == "restore") {
    return RestoreRequest{interface(from, "interface"), uint32_t(number(from, "ifindex", 1, INT32_MAX)),
                          mac(from, "mac"), texts(from, "features", kMaxFeatures, kMaxFeature),
                          taken_from(from)};
  }
  malformed("op " + op + " is not known");
}

KeeperReply reply_from(const Json& from) {
  KeeperReply out;
  if (!truth(from, "ok")) {
    out.error = int(number(from, "errno", 1, 4095));
    out.text = text(from, "text", 4 * kMaxSentence);
    return out;
  }
  out.mode = NicMode(index_of(from, "mode", kModes));
  out.why = texts(from, "why", kMaxSentences, kMaxSentence);
  out.said = texts(from, "said", kMaxSentences, kMaxSentence);
  out.undo = texts(from, "undo", kMaxFeatures, kMaxFeature);
  if (out.mode != NicMode::kAuto) out.queues = queue_list(member(from, "queues"));
  out.interface_queues = uint32_t(number(from, "interface_queues", 0, 4096));
  out.interface = interface(from, "interface");
  out.mac = mac(from, "mac");
  out.mtu = uint32_t(number(from, "mtu", 0, 1 << 20));
  out.ifindex = uint32_t(number(from, "ifindex", 1, INT32_MAX));
  out.up = truth(from, "up");
  out.pid = uint32_t(number(from, "pid", 0, INT32_MAX));
  out.multi_buffer = truth(from, "multi_buffer", false);
  out.straight = truth(from, "straight", false);
  if (out.straight) {
    out.program = uint32_t(number(from, "program", 1, UINT32_MAX));
    out.peer_program = uint32_t(number(from, "peer_program", 0, UINT32_MAX));
  }
  out.taken = taken_from(from);
  if (from.contains("interrupts")) out.interrupts = uint32_t(number(from, "interrupts", 0, kMaxKeeperQueues + 1));
  if (from.contains("device_buffers")) {
    const Json& buffers = from["device_buffers"];
    if (!buffers.is_object()) malformed("device_buffers is no object");
    constexpr uint64_t kMost = uint64_t{1} << 30;
    out.device_buffers = {number(buffers, "offset", 0, kMost), uint32_t(number(buffers, "count", 3, kMost / 64)),
                          uint32_t(number(buffers, "size", 64, UINT16_MAX))};
    if (out.device_buffers->offset % 4096) malformed("device_buffers: offset is a multiple of 4096");
  }
  bool rings = out.mode != NicMode::kAuto && out.mode != NicMode::kPacket;
  for (auto [name, to] : {std::pair("rx_ring", &out.rx_ring),
                          {"tx_ring", &out.tx_ring},
                          {"fill_ring", &out.fill_ring},
                          {"completion_ring", &out.completion_ring}}) {
    *to = uint32_t(number(from, name, rings ? 1 : 0, 2 * kMaxKeeperSlots));
    if (*to & (*to - 1)) malformed(std::string(name) + " is no power of two");
  }
  return out;
}

KeeperMessage message_from(const Json& from) {
  if (from.contains("ok")) return reply_from(from);
  KeeperEvent out;
  out.kind = KeeperEvent::Kind(index_of(from, "event", kEvents));
  out.interface = interface(from, "interface");
  out.text = text(from, "text", 4 * kMaxSentence);
  out.queues = uint32_t(number(from, "queues", 0, 4096));
  return out;
}

template <class T>
Result<T> parse(std::string_view text, T (*from)(const Json&), const char* what) {
  if (text.size() > kMaxKeeperBytes) return Error{EPROTO, std::string(what) + ": too long"};
  Json json = parse_json(text);
  if (!json.is_object()) return Error{EPROTO, std::string(what) + ": no JSON object"};
  try {
    return from(json);
  } catch (const Malformed& wrong) {
    return Error{EPROTO, std::string(what) + ": " + wrong.text};
  }
}

// Sentences are cut rather than refused: they come from elsewhere (the kernel, libraries).
Json sentences(const std::vector<std::string>& from) {
  Json out = Json::array();
  for (size_t i = 0; i < from.size() && i < kMaxSentences; i++) out.push_back(from[i].substr(0, kMaxSentence));
  return out;
}

Json to_json(const BindRequest& from) {
  Json out{{"op", "bind"},
           {"interface", from.interface},
           {"mode", mode_name(from.mode)},
           {"rx_slots", from.rx_slots},
           {"tx_slots", from.tx_slots},
           {"host", from.host},
           {"multi_buffer", from.multi_buffer},
           {"promiscuous", from.promiscuous},
           {"straight", from.straight}};
  out["queues"] = from.queues.empty() ? Json("all") : Json(from.queues);
  out["umem"] = {{"offset", from.umem.offset}, {"bytes", from.umem.bytes}, {"chunk", from.umem.chunk}};
  return out;
}
Json to_json(const TapRequest& from) {
  Json out{{"op", "tap"}, {"name", from.name}, {"vnet_hdr", from.vnet_hdr}};
  if (from.mac) out["mac"] = mac_text(*from.mac);
  return out;
}
Json to_json(const AttachRequest& from) {
  Json out{{"op", "attach"}, {"interface", from.interface}, {"host", from.host}, {"promiscuous", from.promiscuous}};
  if (from.member) out["member"] = *from.member;
  return out;
}
Json to_json(const TakenDevice& from) {
  return {{"address", from.address},
          {"driver", from.driver},
          {"tap_index", from.tap_index},
          {"way", way_name(from.way)},
          {"link",
           {{"interface", from.link.interface},
            {"mac", mac_text(from.link.mac)},
            {"mtu", from.link.mtu},
            {"up", from.link.up},
            {"promiscuous", from.link.promiscuous},
            {"messages", from.link.messages}}}};
}
Json to_json(const RestoreRequest& from) {
  Json out{{"op", "restore"},
           {"interface", from.interface},
           {"ifindex", from.ifindex},
           {"mac", mac_text(from.mac)},
           {"features", from.features}};
  if (from.taken) out["taken"] = to_json(*from.taken);
  return out;
}
Json to_json(const KeeperReply& from) {
  if (from.error) return {{"ok", false}, {"errno", from.error}, {"text", from.text.substr(0, 4 * kMaxSentence)}};
  Json out{{"ok", true},
           {"mode", mode_name(from.mode)},
           {"why", sentences(from.why)},
           {"said", sentences(from.said)},
           {"undo", from.undo},
           {"interface_queues", from.interface_queues},
           {"interface", from.interface},
           {"mac", mac_text(from.mac)},
           {"mtu", from.mtu},
           {"ifindex", from.ifindex},
           {"up", from.up},
           {"pid", from.pid},
           {"multi_buffer", from.multi_buffer},
           {"rx_ring", from.rx_ring},
           {"tx_ring", from.tx_ring},
           {"fill_ring", from.fill_ring},
           {"completion_ring", from.completion_ring}};
  if (from.mode != NicMode::kAuto) out["queues"] = from.queues;
  if (from.taken) out["taken"] = to_json(*from.taken);
  if (from.interrupts) out["interrupts"] = from.interrupts;
  if (from.device_buffers)
    out["device_buffers"] = {{"offset", from.device_buffers->offset},
                             {"count", from.device_buffers->count},
                             {"size", from.device_buffers->size}};
  if (from.straight) {
    out["straight"] = true;
    out["program"] = from.program;
    out["peer_program"] = from.peer_program;
  }
  return out;
}
Json to_json(const KeeperEvent& from) {
  return {{"event", event_name(from.kind)},
          {"interface", from.interface},
          {"text", from.text.substr(0, 4 * kMaxSentence)},
          {"queues", from.queues}};
}

Result<void> send_text(int channel, const std::string& text, const std::vector<int>& fds, int flags) {
  if (text.size() > kMaxKeeperBytes) return Error{EMSGSIZE, "message of a keeper: too long"};
  return send(channel, std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()), fds, flags);
}

Result<Datagram> receive_text(int channel, int flags) {
  auto got = receive(channel, kMaxKeeperBytes, flags);
  if (got && got->bytes.empty()) return Error{ECONNRESET, "channel of a keeper: the other side is gone"};
  return got;
}
std::string_view text_of(const Datagram& from) {
  return {reinterpret_cast<const char*>(from.bytes.data()), from.bytes.size()};
}

}  // namespace

bool interface_name_ok(std::string_view name) {
  if (name.empty() || name.size() > 15 || name == "." || name == "..") return false;
  return std::none_of(name.begin(), name.end(),
                      [](unsigned char c) { return c == '/' || c == ':' || c <= ' ' || c == 127; });
}

Result<MacAddress> parse_mac(std::string_view text) {
  MacAddress out{};
  Error wrong{EINVAL, "MAC address: wanted as 02:00:00:00:00:01"};
  if (text.size() != 17) return wrong;
  for (size_t i = 0; i < text.size(); i++) {
    unsigned char c = text[i];
    if (i % 3 == 2 ? c != ':' : !isxdigit(c)) return wrong;
    if (i % 3 == 2) continue;
    int digit = isdigit(c) ? c - '0' : tolower(c) - 'a' + 10;
    out[i / 3] = uint8_t(out[i / 3] * 16 + digit);
  }
  return out;
}

std::string mac_text(const MacAddress& mac) {
  char out[18];
  snprintf(out, sizeof out, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
  return out;
}

const char* mode_name(NicMode mode) { return kModes[size_t(mode)]; }

bool NicModes::any(NicMode mode) const {
  if (others == mode) return true;
  for (const auto& [name, each] : of)
    if (each == mode) return true;
  return false;
}

std::optional<NicMode> NicModes::named(const std::string& name) {
  for (size_t i = 0; i < std::size(kModes); i++)
    if (name == kModes[i]) return NicMode(i);
  return std::nullopt;
}

bool NicModes::add(const std::string& text) {
  const size_t equals = text.rfind('=');
  auto mode = named(equals == std::string::npos ? text : text.substr(equals + 1));
  if (!mode || equals == 0) return false;
  if (equals == std::string::npos)
    others = *mode;
  else
    of[text.substr(0, equals)] = *mode;
  return true;
}

const char* event_name(KeeperEvent::Kind kind) { return kEvents[size_t(kind)]; }

std::string encode(const KeeperRequest& request) {
  return json_text(std::visit([](const auto& each) { return to_json(each); }, request));
}
std::string encode(const KeeperMessage& message) {
  return json_text(std::visit([](const auto& each) { return to_json(each); }, message));
}

Result<KeeperRequest> parse_keeper_request(std::string_view text) {
  return parse(text, request_from, "request to a keeper");
}
Result<KeeperMessage> parse_keeper_message(std::string_view text) {
  return parse(text, message_from, "message of a keeper");
}

Result<void> send_keeper(int channel, const KeeperRequest& request, const std::vector<int>& fds, int flags) {
  return send_text(channel, encode(request), fds, flags);
}
Result<void> send_keeper(int channel, const KeeperMessage& message, const std::vector<int>& fds, int flags) {
  return send_text(channel, encode(message), fds, flags);
}

Result<ReceivedKeeperRequest> receive_keeper_request(int channel, int flags) {
  auto got = receive_text(channel, flags);
  if (!got) return got.error();
  auto request = parse_keeper_request(text_of(*got));
  if (!request) return request.error();
  auto* attach = std::get_if<AttachRequest>(&*request);
  auto* restore = std::get_if<RestoreRequest>(&*request);
  size_t wanted = std::holds_alternative<BindRequest>(*request) || (attach && attach->member) ||
                          (restore && restore->taken)
                      ? 1
                      : 0;
  if (got->fds.size() != wanted) return Error{EPROTO, "request to a keeper: not as many descriptors as it calls for"};
  return ReceivedKeeperRequest{std::move(*request), std::move(got->fds)};
}

Result<ReceivedKeeperMessage> receive_keeper_message(int channel, int flags) {
  auto got = receive_text(channel, flags);
  if (!got) return got.error();
  auto message = parse_keeper_message(text_of(*got));
  if (!message) return message.error();
  auto* reply = std::get_if<KeeperReply>(&*message);
  bool bound = reply && !reply->error && reply->mode != NicMode::kAuto;
  size_t others = reply && reply->straight ? 2 : reply && reply->mode == NicMode::kDriver ? kDriverFds + reply->interrupts : 0;
  if (bound && got->fds.size() != reply->queues.size() + others && got->fds.size() != reply->queues.size() + others + 1)
    return Error{EPROTO, "message of a keeper: not as many descriptors as it tells of"};
  return ReceivedKeeperMessage{std::move(*message), std::move(got->fds)};
}

}  // namespace unetmap::wire
