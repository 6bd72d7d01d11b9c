// SPDX-License-Identifier: BSD-2-Clause
// {"what":"live"}: what those need who look again and again, for a thousand ports at little cost: the text is written
// as it goes, without a tree of JSON before it.
#include <fmt/core.h>

#include <ctime>

#include "daemon/question/query.hh"

namespace unetmap::daemon {
namespace {

template <class... Values>
void append(std::string& to, fmt::format_string<Values...> format, Values&&... values) {
  to += fmt::format(format, std::forward<Values>(values)...);
}

void append_direction(std::string& to, const char* name, const PortCounters::Direction& counted) {
  append(to, R"(,"{}":{{"packets":{},"bytes":{},"syncs":{},"slots":{},"used":{})", name, counted.packets, counted.bytes,
         counted.syncs, counted.slots, counted.used);
  const char* before = R"(,"lost":{)";
  for (auto& [cause, packets] : counted.lost) {
    append(to, R"({}"{}":{})", before, cause, packets);
    before = ",";
  }
  to += counted.lost.empty() ? "}" : "}}";
}

void append_names(std::string& to, std::string_view name, std::string_view kind, std::string_view sw) {
  to += R"({"name":)";
  append_json(to, name);
  to += R"(,"kind":)";
  append_json(to, kind);
  to += R"(,"switch":)";
  append_json(to, sw);
}

uint64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return uint64_t(now.tv_sec) * 1'000'000'000 + uint64_t(now.tv_nsec);
}

}  // namespace

std::string Query::live() const {
  const uint64_t now = now_ns();
  std::string out = fmt::format(R"({{"at_ns":{},"ports":[)", now);
  const char* before = "";
  for (auto& [name, port] : of_.ports.all()) {
    const PortCounters counters = count(*port);
    out += before;
    before = ",";
    append_names(out, name, port->plug ? port->plug->kind : wire::kind_name(port->kind()), port->sw->name());
    append(out, R"(,"unique":{},"index":{},"generation":{})", port->unique, port->info.index, port->info.generation);
    append_direction(out, "tx", counters.tx);
    append_direction(out, "rx", counters.rx);
    append(out, R"(,"sleeps":{},"asleep":{})", counters.sleeps, counters.asleep);
    if (port->record()->flags & kPortLossless) out += R"(,"lossless":true)";
    if (port->plug) {
      out += R"(,"state":)";
      append_json(out, port->plug->state);
      if (!port->plug->connected) out += R"(,"connected":false)";
    }
    out += R"(,"pids":[)";
    const char* comma = "";
    for (const File* user : port->users) {
      append(out, "{}{}", comma, user->pid);
      comma = ",";
    }
    out += "]}";
  }
  out += R"(],"gone":[)";
  before = "";
  for (const Departed& past : of_.ports.departed()) {
    out += before;
    before = ",";
    append_names(out, past.name, past.kind, past.sw);
    append(out, R"(,"index":{},"generation":{},"gone_s":{})", past.index, past.generation,
           double(now - past.ended_ns) / 1e9);
    append_direction(out, "tx", past.counters.tx);
    append_direction(out, "rx", past.counters.rx);
    out += '}';
  }
  return out + "]}";
}

}  // namespace unetmap::daemon
