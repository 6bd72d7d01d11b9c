// SPDX-License-Identifier: BSD-2-Clause
#include "switch_tap.hh"

#include <fmt/core.h>
#include <time.h>
#include <unetmap/unetmap.h>

#include <algorithm>
#include <cstdlib>
#include <unetmap/port.hh>

#include "asked_port.hh"
#include "clock.hh"
#include "wire/channel.hh"

namespace unetmap::cli {
namespace {

constexpr uint32_t kSlots = 8192;
constexpr uint64_t kNamesEvery_ns = 1'000'000;  // at most

std::string& last_message() {
  static std::string text;
  return text;
}

nmctx* context() {
  static nmctx out = [] {
    nmctx made = *nmctx_get();
    made.verbose = 1;
    made.error = [](nmctx*, const char* text) { last_message() = text; };
    return made;
  }();
  return &out;
}

Error not_traced(const std::string& given, const char* why) { return {EINVAL, given + ": " + why}; }

}  // namespace

bool is_switch_name(const std::string& given) {
  return given.starts_with("vale") && (given.find(':') == std::string::npos || given.ends_with(':')) &&
         given.find_first_of("/@{}^ ") == std::string::npos;
}

Result<TapTarget> tap_target(const std::string& given) {
  if (is_switch_name(given)) return TapTarget{given.substr(0, given.find(':')), ""};
  if (given.empty() || given.find_first_of("/ ") != std::string::npos)
    return not_traced(given,
                      "is no name of a switch or port; give one without suffixes, as 'unetmap ports' lists them");
  if (given.find_first_of("{}") != std::string::npos)
    return not_traced(given, "a pipe goes by no switch; unetmap capture shows what passes it");
  std::string name = asked_port(given);
  auto link = DaemonLink::connect(wire::default_socket_path());
  if (!link) return link.error();
  if (!*link) return Error{ENXIO, given + ": no daemon runs, so nobody has this port open; open it first"};
  auto ports = (**link).query(asked_from_here({{"what", "ports"}}));
  if (!ports) return ports.error();
  std::string attached;  // an interface on a switch is vale0:eth0 there
  for (const auto& port : ports->value("ports", Json::array())) {
    const std::string each = port.value("name", ""), sw = port.value("switch", "");
    if (each == name && sw.empty()) return not_traced(given, "is on no switch; unetmap capture shows what passes it");
    if (each == name) return TapTarget{sw, each};
    if (!sw.empty() && each == fmt::format("{}:{}", sw, name)) attached = each;
  }
  if (!attached.empty()) return TapTarget{attached.substr(0, attached.find(':')), attached};
  return Error{ENXIO, given +
                          ": nobody has this port open, so there is nothing to trace; open it first, or trace its "
                          "switch, such as vale0"};
}

// By the switch's name and a colon, which is in no specification: a monitor of the switch itself.
Result<SwitchTap> SwitchTap::open(const std::string& switch_name) {
  last_message().clear();
  nmport_d* port = nmport_new();
  if (!port) return Error{ENOMEM, switch_name + ": out of memory"};
  port->ctx = context();
  const std::string spec = switch_name + ":tap/t", name = switch_name + ":";
  bool good = nmport_parse(port, spec.c_str()) == 0 && name.size() < sizeof port->hdr.nr_name;
  if (good) {
    memset(port->hdr.nr_name, 0, sizeof port->hdr.nr_name);
    memcpy(port->hdr.nr_name, name.data(), name.size());
    port->reg.nr_rx_slots = kSlots;
    good = nmport_open_desc(port) == 0;
  }
  if (!good) {
    const Error why{errno ? errno : EINVAL,
                    last_message().empty() ? switch_name + ": cannot be traced" : last_message()};
    nmport_close(port);
    return why;
  }
  SwitchTap out(port, switch_name);
  auto link = DaemonLink::connect(wire::default_socket_path());
  if (link && *link) out.link_ = std::move(**link);
  out.learn_names();
  return out;
}

// The ports that there are and those that went last.
void SwitchTap::learn_names() {
  asked_ns_ = clock_ns(CLOCK_MONOTONIC);
  if (!link_) return;
  auto answer = link_->query({{"what", "live"}});
  if (!answer) return;
  for (const char* list : {"gone", "ports"})
    for (const auto& port : answer->value(list, Json::array()))
      if (port.value("switch", "") == switch_name_)
        names_[{port.value("index", uint16_t{0}), port.value("generation", 0u)}] = port.value("name", "");
}

std::string SwitchTap::name_of(uint16_t index, uint32_t generation) {
  auto found = names_.find({index, generation});
  if (found == names_.end() && generation & 1 && clock_ns(CLOCK_MONOTONIC) >= asked_ns_ + kNamesEvery_ns) {
    learn_names();
    found = names_.find({index, generation});
  }
  return found != names_.end() ? found->second : fmt::format("{}:#{}", switch_name_, index);
}

uint64_t SwitchTap::lost() const {
  const int64_t missed = unetmap_missed(port_->fd);
  return garbled_ + (missed > 0 ? uint64_t(missed) : 0);
}

// A record is copied before it is looked at: any program of the switch can write there.
Result<void> SwitchTap::take(const std::function<Result<bool>(const TapRecord&)>& f) {
  const uint64_t now = clock_ns(CLOCK_MONOTONIC), since_1970 = clock_ns(CLOCK_REALTIME) - now;
  Ring ring(NETMAP_RXRING(port_->nifp, port_->first_rx_ring));
  while (!ring.empty()) {
    const size_t available = ring.size();
    size_t slots = 1, bytes = 0;
    while ((ring[slots - 1].flags & NS_MOREFRAG) && slots < available) slots++;
    if ((ring[slots - 1].flags & NS_MOREFRAG) && available + 1 < ring.capacity()) {
      ring.get()->cur = ring.get()->tail;  // the rest is coming
      return {};
    }
    for (size_t i = 0; i < slots; i++) {
      const auto piece = ring.data(i);
      const size_t part = std::min(piece.size(), joined_->size() - bytes);
      memcpy(joined_->data() + bytes, piece.data(), part);
      bytes += part;
    }
    ring.advance(slots);
    auto record = tap_record({joined_->data(), bytes});
    if (!record) {
      garbled_++;
      continue;
    }
    // A clock reading that cannot be is replaced by ours.
    constexpr uint64_t kLongAgo_ns = 3'600'000'000'000;
    if (record->head.time_ns > now + 1'000'000'000 || record->head.time_ns + kLongAgo_ns < now)
      record->head.time_ns = now;
    record->head.time_ns += since_1970;
    auto more = f(*record);
    if (!more) return more.error();
    if (!*more) return {};
  }
  return {};
}

}  // namespace unetmap::cli
