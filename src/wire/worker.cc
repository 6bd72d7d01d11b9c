// SPDX-License-Identifier: BSD-2-Clause
#include "wire/worker.hh"

#include <sys/socket.h>

#include <algorithm>

#include "wire/channel.hh"

namespace unetmap::wire {
namespace {

constexpr size_t kMaxText = 4096, kMaxKind = 32;

Error not_understood(const char* who) {
  return {EPROTO, std::string(who) + ": message not understood; unetmapd and unetmap-worker must be of one version"};
}

Result<void> send_json(int channel, const Json& message, std::span<const int> fds) {
  // Names come from clients, and need not be text.
  std::string text = json_text(message);
  if (text.size() > kMaxWorkerMessage)
    return Error{EMSGSIZE, "worker: message of " + std::to_string(text.size()) + " bytes; at most " +
                               std::to_string(kMaxWorkerMessage) + " can be sent"};
  return send(channel, {reinterpret_cast<const uint8_t*>(text.data()), text.size()}, fds, MSG_DONTWAIT);
}

Result<Json> receive_json(int channel, const char* who, std::vector<UniqueFd>* fds) {
  auto datagram = receive(channel, kMaxWorkerMessage, MSG_DONTWAIT);
  if (!datagram) {
    int code = datagram.error().code;
    if (code == EAGAIN) return datagram.error();
    if (code == EMSGSIZE) return not_understood(who);
    return Error{ENOTCONN, std::string(who) + ": gone"};
  }
  if (datagram->bytes.empty()) return Error{ENOTCONN, std::string(who) + ": gone"};
  Json json = parse_json({reinterpret_cast<const char*>(datagram->bytes.data()), datagram->bytes.size()});
  if (!json.is_object()) return not_understood(who);
  if (fds) *fds = std::move(datagram->fds);
  return json;
}

std::string text_of(const Json& json, const char* key) {
  auto found = json.find(key);
  if (found == json.end() || !found->is_string()) return "";
  std::string text = found->get<std::string>();
  if (text.size() > kMaxText) text.resize(kMaxText);
  std::replace_if(
      text.begin(), text.end(), [](char c) { return uint8_t(c) < ' ' || c == 127; }, ' ');
  return text;
}

uint64_t number_of(const Json& json, const char* key) {
  auto found = json.find(key);
  return found != json.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

Json object_of(const Json& json, const char* key) {
  auto found = json.find(key);
  return found != json.end() && found->is_object() ? *found : Json::object();
}

bool is_kind(const std::string& text) {
  return !text.empty() && text.size() <= kMaxKind && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

}  // namespace

Result<void> send_order(int channel, const WorkerOrder& order, std::span<const int> fds) {
  switch (order.op) {
    case WorkerOrder::Op::kStart:
      return send_json(channel,
                       {{"op", "start"}, {"kind", order.kind}, {"port", order.port}, {"parameters", order.parameters}},
                       fds);
    case WorkerOrder::Op::kStatus:
      return send_json(channel, {{"op", "status"}, {"id", order.id}}, {});
    case WorkerOrder::Op::kSet:
      return send_json(channel, {{"op", "set"}, {"parameters", order.parameters}}, {});
    case WorkerOrder::Op::kAdopt:
      return send_json(channel, {{"op", "adopt"}}, fds);
    case WorkerOrder::Op::kStop:
      return send_json(channel, {{"op", "stop"}}, {});
  }
  return Error{EINVAL, "worker: no such order"};
}

Result<void> send_report(int channel, const WorkerReport& report) {
  switch (report.event) {
    case WorkerReport::Event::kReady:
      return send_json(channel, {{"event", "ready"}}, {});
    case WorkerReport::Event::kFailed:
      return send_json(channel, {{"event", "failed"}, {"errno", report.error.code}, {"text", report.error.text}}, {});
    case WorkerReport::Event::kState:
      return send_json(channel, {{"event", "state"}, {"connected", report.connected}, {"text", report.text}}, {});
    case WorkerReport::Event::kStatus:
      return send_json(channel, {{"event", "status"}, {"id", report.id}, {"status", report.status}}, {});
    case WorkerReport::Event::kSaid:
      return send_json(channel, {{"event", "said"}, {"text", report.text}}, {});
    case WorkerReport::Event::kAwake:
      return send_json(channel, {{"event", "awake"}}, {});
  }
  return Error{EINVAL, "worker: no such report"};
}

Result<WorkerOrder> receive_order(int channel) {
  WorkerOrder out;
  auto json = receive_json(channel, "unetmapd", &out.fds);
  if (!json) return json.error();
  std::string op = text_of(*json, "op");
  out.kind = text_of(*json, "kind");
  out.port = text_of(*json, "port");
  out.parameters = object_of(*json, "parameters");
  out.id = number_of(*json, "id");
  if (op == "start")
    out.op = WorkerOrder::Op::kStart;
  else if (op == "status")
    out.op = WorkerOrder::Op::kStatus;
  else if (op == "set")
    out.op = WorkerOrder::Op::kSet;
  else if (op == "adopt")
    out.op = WorkerOrder::Op::kAdopt;
  else if (op == "stop")
    out.op = WorkerOrder::Op::kStop;
  else
    return not_understood("unetmapd");
  return out;
}

Result<WorkerReport> receive_report(int channel) {
  auto json = receive_json(channel, "worker", nullptr);
  if (!json) return json.error();
  WorkerReport out;
  std::string event = text_of(*json, "event");
  out.text = text_of(*json, "text");
  if (event == "ready") {
    out.event = WorkerReport::Event::kReady;
  } else if (event == "failed") {
    out.event = WorkerReport::Event::kFailed;
    uint64_t code = number_of(*json, "errno");
    out.error = {code > 0 && code < 4096 ? int(code) : EIO, out.text};
  } else if (event == "state") {
    out.event = WorkerReport::Event::kState;
    auto connected = json->find("connected");
    out.connected = connected != json->end() && connected->is_boolean() && connected->get<bool>();
  } else if (event == "status") {
    out.event = WorkerReport::Event::kStatus;
    out.id = number_of(*json, "id");
    out.status = object_of(*json, "status");
  } else if (event == "said") {
    out.event = WorkerReport::Event::kSaid;
  } else if (event == "awake") {
    out.event = WorkerReport::Event::kAwake;
  } else {
    return not_understood("worker");
  }
  return out;
}

Result<Plug> parse_plug(const std::string& text) {
  Json json = parse_json(text);
  if (!json.is_object()) return Error{EINVAL, "plug: is no JSON object; see docs/wire.md"};
  Plug out;
  out.port = text_of(json, "port");
  out.kind = text_of(json, "kind");
  if (out.port.empty() || out.port.size() >= 64)
    return Error{EINVAL, "plug: no port named, or too long a name; give one such as vale0:01"};
  if (!is_kind(out.kind)) return Error{EINVAL, out.port + ": plug: no kind given; give one such as stream"};
  json.erase("port");
  json.erase("kind");
  out.parameters = std::move(json);
  return out;
}

}  // namespace unetmap::wire
