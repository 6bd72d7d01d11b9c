// SPDX-License-Identifier: BSD-2-Clause
#include "sample.hh"

#include <unordered_map>

#include "base/json.hh"

namespace unetmap::cli::live {
namespace {

const Json& member(const Json& object, const char* key) {
  static const Json kNone;
  if (!object.is_object()) return kNone;
  auto found = object.find(key);
  return found == object.end() ? kNone : *found;
}
uint64_t number(const Json& object, const char* key) {
  const Json& value = member(object, key);
  return value.is_number() ? value.get<uint64_t>() : 0;
}
std::string text(const Json& object, const char* key) {
  const Json& value = member(object, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}
bool flag(const Json& object, const char* key, bool otherwise) {
  const Json& value = member(object, key);
  return value.is_boolean() ? value.get<bool>() : otherwise;
}

Direction direction_of(const Json& json) {
  Direction out;
  out.packets = number(json, "packets");
  out.bytes = number(json, "bytes");
  out.syncs = number(json, "syncs");
  out.slots = number(json, "slots");
  out.used = std::min(number(json, "used"), out.slots);
  if (const Json& lost = member(json, "lost"); lost.is_object())
    for (const auto& [cause, packets] : lost.items())
      if (packets.is_number()) out.lost[cause] = packets.get<uint64_t>();
  return out;
}

Port port_of(const Json& json) {
  Port out;
  out.name = text(json, "name");
  out.kind = text(json, "kind");
  out.sw = text(json, "switch");
  out.unique = number(json, "unique");
  out.tx = direction_of(member(json, "tx"));
  out.rx = direction_of(member(json, "rx"));
  out.sleeps = number(json, "sleeps");
  out.asleep = flag(json, "asleep", false);
  out.lossless = flag(json, "lossless", false);
  out.connected = flag(json, "connected", true);
  out.state = text(json, "state");
  if (const Json& pids = member(json, "pids"); pids.is_array())
    for (const Json& pid : pids)
      if (pid.is_number()) out.pids.push_back(pid.get<pid_t>());
  return out;
}

double per_second(uint64_t before, uint64_t after, double seconds) {
  return after > before && seconds > 0 ? double(after - before) / seconds : 0;
}

}  // namespace

uint64_t Direction::all_lost() const {
  uint64_t sum = 0;
  for (const auto& [cause, packets] : lost) sum += packets;
  return sum;
}

Sample sample_of(const Json& answer) {
  Sample out;
  out.at_ns = number(answer, "at_ns");
  if (const Json& ports = member(answer, "ports"); ports.is_array())
    for (const Json& port : ports) out.ports.push_back(port_of(port));
  if (const Json& gone = member(answer, "gone"); gone.is_array())
    for (const Json& port : gone) {
      const Json& since = member(port, "gone_s");
      out.gone.push_back({port_of(port), since.is_number() ? since.get<double>() : 0});
    }
  return out;
}

std::vector<Rate> rates_between(const Sample& before, const Sample& after) {
  const double seconds = after.at_ns > before.at_ns ? double(after.at_ns - before.at_ns) / 1e9 : 0;
  std::unordered_map<uint64_t, const Port*> old;
  for (const Port& port : before.ports) old[port.unique] = &port;
  std::vector<Rate> out;
  out.reserve(after.ports.size());
  for (const Port& port : after.ports) {
    auto found = old.find(port.unique);
    if (found == old.end()) {
      out.emplace_back();
      continue;
    }
    const Port& was = *found->second;
    out.push_back(
        {per_second(was.tx.packets, port.tx.packets, seconds), 8 * per_second(was.tx.bytes, port.tx.bytes, seconds),
         per_second(was.rx.packets, port.rx.packets, seconds), 8 * per_second(was.rx.bytes, port.rx.bytes, seconds),
         per_second(was.tx.all_lost(), port.tx.all_lost(), seconds) +
             per_second(was.rx.all_lost(), port.rx.all_lost(), seconds),
         per_second(was.sleeps, port.sleeps, seconds), per_second(was.tx.all_lost(), port.tx.all_lost(), seconds)});
  }
  return out;
}

}  // namespace unetmap::cli::live
