// SPDX-License-Identifier: BSD-2-Clause
// {"what":"live"}: what those need who look again and again, for a thousand ports at little cost.
#include <ctime>

#include "daemon/query.hh"

namespace unetmap::daemon {
namespace {

Json direction_json(const PortCounters::Direction& counted) {
  Json out{{"packets", counted.packets},
           {"bytes", counted.bytes},
           {"syncs", counted.syncs},
           {"slots", counted.slots},
           {"used", counted.used}};
  if (!counted.lost.empty()) {
    Json& lost = out["lost"];
    for (auto& [cause, packets] : counted.lost) lost[cause] = packets;
  }
  return out;
}

uint64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return uint64_t(now.tv_sec) * 1'000'000'000 + uint64_t(now.tv_nsec);
}

}  // namespace

Json Query::live() const {
  Json ports = Json::array(), gone = Json::array();
  for (auto& [name, port] : registry_.ports_) {
    const PortCounters counters = count(*port);
    Json entry{{"name", name},
               {"kind", port->plug ? port->plug->kind : wire::kind_name(port->kind())},
               {"switch", port->sw->name()},
               {"unique", port->unique},
               {"index", port->info.index},
               {"generation", port->info.generation},
               {"tx", direction_json(counters.tx)},
               {"rx", direction_json(counters.rx)},
               {"sleeps", counters.sleeps},
               {"asleep", counters.asleep}};
    if (port->record()->flags & kPortLossless) entry["lossless"] = true;
    if (port->plug) entry["state"] = port->plug->state;
    if (port->plug && !port->plug->connected) entry["connected"] = false;
    Json& pids = entry["pids"] = Json::array();
    for (const File* user : port->users) pids.push_back(user->pid);
    ports.push_back(std::move(entry));
  }
  const uint64_t now = now_ns();
  for (const Departed& past : registry_.departed_)
    gone.push_back({{"name", past.name},
                    {"kind", past.kind},
                    {"switch", past.sw},
                    {"index", past.index},
                    {"generation", past.generation},
                    {"gone_s", double(now - past.ended_ns) / 1e9},
                    {"tx", direction_json(past.counters.tx)},
                    {"rx", direction_json(past.counters.rx)}});
  return {{"at_ns", now}, {"ports", std::move(ports)}, {"gone", std::move(gone)}};
}

}  // namespace unetmap::daemon
