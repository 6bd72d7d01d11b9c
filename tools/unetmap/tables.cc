// SPDX-License-Identifier: BSD-2-Clause
#include "tables.hh"

#include <fmt/core.h>

#include <map>

namespace unetmap::cli {
namespace {

constexpr size_t kNameWidth = 24;

// Of a counter group, what one direction of a port has in "tx" or "rx".
uint64_t number(const Json& group, const char* key) {
  auto found = group.find(key);
  return found != group.end() && found->is_number() ? found->get<uint64_t>() : 0;
}
std::string text(const Json& object, const char* key) {
  auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}
const Json& group(const Json& port, const char* direction) {
  static const Json kNone = Json::object();
  auto found = port.find(direction);
  return found != port.end() && found->is_object() ? *found : kNone;
}
const Json& list(const Json& answer, const char* key) {
  static const Json kNone = Json::array();
  auto found = answer.find(key);
  return found != answer.end() && found->is_array() ? *found : kNone;
}

uint64_t lost(const Json& counters) {
  uint64_t sum = 0;
  for (const auto& [name, value] : counters.items())
    if (name.starts_with("lost_") && value.is_number()) sum += value.get<uint64_t>();
  return sum;
}

}  // namespace

const char* loss_meaning(const std::string& counter) {
  static const std::map<std::string, const char*> kMeanings = {
      {"lost_malformed", "too short, or broken chain of slots"},
      {"lost_buffer", "buffer or length out of range"},
      {"lost_full", "no room at the receiver"},
      {"lost_indirect", "NS_INDIRECT address not readable"},
      {"lost_noport", "nobody to deliver to"},
      {"lost_convert", "no form for the virtio-net header"},
      {"lost_spoofed", "a source address that is not the port's"},
      {"lost_isolated", "for a port of the same isolated group"},
      {"lost_rate", "above the port's rate"},
      {"lost_vlan", "of a VLAN that the port is not in"},
      {"lost_acl", "denied by an access list"},
      {"lost_link_local", "link-local, against a port's rule"},
      {"lost_oversize", "longer than the receive ring"},
      {"lost_corrupt", "spoiled by a program of the switch"},
      {"lost_no_driver", "for a guest that does not listen"},
      {"lost_header", "a guest's header that asks for what was not agreed"},
      {"lost_buffers", "larger than the guest's buffers hold"},
      {"lost_disconnected", "to nobody: no connection"},
      {"reinits", "illegal head or cur"},
      {"syncs", "ioctls and polls"},
  };
  auto found = kMeanings.find(counter);
  return found == kMeanings.end() ? "" : found->second;
}

namespace {

// What a port did between two answers.
struct Rates {
  double tx_packets, tx_bits, rx_packets, rx_bits, lost;
};

Rates rates(const Json& before, const Json& after, double seconds) {
  auto per_second = [&](const char* direction, auto&& value) {
    uint64_t from = value(group(before, direction)), to = value(group(after, direction));
    return to > from && seconds > 0 ? double(to - from) / seconds : 0.0;
  };
  auto packets = [](const Json& g) { return number(g, "packets"); };
  auto bytes = [](const Json& g) { return number(g, "bytes"); };
  return {per_second("tx", packets), 8 * per_second("tx", bytes), per_second("rx", packets),
          8 * per_second("rx", bytes), per_second("tx", lost) + per_second("rx", lost)};
}

// Its counters of before; none if it was not there. Those of a port made anew under its name start from 0 again, which
// rates() takes for no traffic.
const Json& same_port(const Json& answer, const Json& port) {
  static const Json kNone = Json::object();
  for (const Json& other : list(answer, "ports"))
    if (text(other, "name") == text(port, "name")) return other;
  return kNone;
}

}  // namespace

std::string short_number(double value) {
  static constexpr const char* kUnits[] = {"", "K", "M", "G", "T", "P", "E"};
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    unit++;
  }
  if (unit == 0) return fmt::format("{:.0f}", value);
  return fmt::format("{:.{}f}{}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0, kUnits[unit]);
}

std::string short_name(const std::string& name, size_t width) {
  if (name.size() <= width) return name;
  size_t head = (width - 1) / 2, tail = width - 1 - head;
  return name.substr(0, head) + "~" + name.substr(name.size() - tail);
}

std::string nic_lines(const std::string& port, const Json& nic) {
  static const std::map<std::string, const char*> kModes = {
      {"native-zerocopy", "AF_XDP, native, without copying"},
      {"native", "AF_XDP, native, by copy"},
      {"generic", "AF_XDP, generic"},
      {"packet", "AF_PACKET"},
      {"driver", "the device itself, without copying"},
  };
  auto named = kModes.find(text(nic, "mode"));
  std::string out = fmt::format("{}: mode {}{}\n", port, text(nic, "mode"),
                                named == kModes.end() ? "" : fmt::format(" ({})", named->second));
  if (std::string way = text(nic, "way"); !way.empty())
    out += fmt::format("{}: had by {}, {}\n", port, way, nic.value("interrupts", false) ? "with interrupts" : "polled");
  for (const Json& why : list(nic, "why"))
    if (why.is_string()) out += fmt::format("{}: not {}\n", port, why.get<std::string>());
  if (std::string peer = text(nic, "straight_to"); !peer.empty())
    out += fmt::format("{}: sends many packets at once straight to {}\n", port, peer);
  if (std::string error = text(nic, "error"); !error.empty())
    out += error + "\n";
  else if (nic.value("down", false))
    out += fmt::format("{}: the interface is down\n", port);
  return out;
}

std::string ports_table(const Json& answer) {
  std::string out = fmt::format("{:<{}} {:<10} {:>11} {:>11} {:>6} {:>8}\n", "PORT", kNameWidth, "KIND", "TX", "RX",
                                "OPENED", "LOSSLESS");
  auto line = [](const Json& port, const std::string& kind) {
    auto rings = [&](const char* count, const char* slots) {
      return fmt::format("{} x {}", number(port, count), number(port, slots));
    };
    return fmt::format("{:<{}} {:<10} {:>11} {:>11} {:>6} {:>8}\n", short_name(text(port, "name"), kNameWidth),
                       kNameWidth, kind, rings("tx_rings", "tx_slots"), rings("rx_rings", "rx_slots"),
                       number(port, "users"), port.value("lossless", false) ? "on" : "off");
  };
  for (const Json& port : list(answer, "ports")) {
    const Json& plug = group(port, "plug");
    out += line(port, plug.empty() ? text(port, "kind") : text(plug, "kind"));
  }
  // What serves the ports that no program does, and how it stands.
  for (const Json& port : list(answer, "ports"))
    if (const Json& plug = group(port, "plug"); !plug.empty())
      out += fmt::format("{}: {}\n", text(port, "name"), text(plug, "state"));
  // How interfaces are bound, and why no better.
  for (const Json& port : list(answer, "ports"))
    if (const Json& nic = group(port, "nic"); !nic.empty()) out += nic_lines(text(port, "name"), nic);
  // Persistent ports that nobody has opened or attached are a name and a shape only.
  for (const Json& port : list(answer, "persistent")) {
    if (text(port, "port").empty()) out += line(port, "persistent");
  }
  for (const Json& port : list(answer, "persistent")) {
    if (!port.value("abandoned", false)) continue;
    const std::string name = text(port, "name"), place = text(port, "port");
    out += fmt::format("{}: no process is left in its network namespace; let go of it by\n  {}vale-ctl -r {}\n", name,
                       place.empty() ? "" : "vale-ctl -d " + place + "; ", name);
  }
  return out;
}

std::string stats_table(const Json& answer) {
  std::string out = fmt::format("{:<{}} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}\n", "PORT", kNameWidth, "SENT", "BYTES",
                                "LOST", "RECEIVED", "BYTES", "MISSED");
  for (const Json& port : list(answer, "ports")) {
    const Json &tx = group(port, "tx"), &rx = group(port, "rx");
    out +=
        fmt::format("{:<{}} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}\n", short_name(text(port, "name"), kNameWidth),
                    kNameWidth, short_number(double(number(tx, "packets"))), short_number(double(number(tx, "bytes"))),
                    short_number(double(lost(tx))), short_number(double(number(rx, "packets"))),
                    short_number(double(number(rx, "bytes"))), short_number(double(lost(rx))));
  }
  return out;
}

std::string stats_of_port(const Json& port) {
  std::string out = text(port, "name") + "\n";
  for (const char* direction : {"tx", "rx"}) {
    for (const auto& [name, value] : group(port, direction).items()) {
      if (!value.is_number()) continue;
      std::string line = fmt::format("  {} {:<14} {:>20}  {}", direction, name, value.get<uint64_t>(), loss_meaning(name));
      out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
    }
  }
  // Of what is plugged in, from its own side: tx is what it sent into the switch.
  const Json& plug = group(port, "plug");
  if (!plug.empty()) out += fmt::format("plugged in: {}\n", text(plug, "kind"));
  for (const auto& [name, value] : group(plug, "status").items())
    out += fmt::format("  {:<22} {:>20}\n", name, value.is_string() ? value.get<std::string>() : json_text(value));
  return out;
}

std::string rates_table(const Json& before, const Json& after, double seconds) {
  std::string out = fmt::format("{:<{}} {:>10} {:>10} {:>10} {:>10} {:>8}\n", "PORT", kNameWidth, "SENT/s", "bit/s",
                                "RECEIVED/s", "bit/s", "LOST/s");
  for (const Json& port : list(after, "ports")) {
    Rates r = rates(same_port(before, port), port, seconds);
    out += fmt::format("{:<{}} {:>10} {:>10} {:>10} {:>10} {:>8}\n", short_name(text(port, "name"), kNameWidth),
                       kNameWidth, short_number(r.tx_packets), short_number(r.tx_bits), short_number(r.rx_packets),
                       short_number(r.rx_bits), short_number(r.lost));
  }
  return out;
}

Json rates_json(const Json& before, const Json& after, double seconds) {
  Json out = {{"seconds", seconds}, {"ports", Json::array()}};
  for (const Json& port : list(after, "ports")) {
    Rates r = rates(same_port(before, port), port, seconds);
    out["ports"].push_back({{"name", text(port, "name")},
                            {"tx_pps", r.tx_packets},
                            {"tx_bps", r.tx_bits},
                            {"rx_pps", r.rx_packets},
                            {"rx_bps", r.rx_bits},
                            {"lost_pps", r.lost}});
  }
  return out;
}

std::string fdb_table(const Json& answer) {
  std::string out = fmt::format("{:<18} {:<40} {:>8}  VLAN\n", "ADDRESS", "PORT", "AGE s");
  for (const Json& entry : list(answer, "entries")) {
    out += fmt::format("{:<18} {:<40} {:>8}", text(entry, "mac"), short_name(text(entry, "port"), 40),
                       number(entry, "age_s"));
    if (const uint64_t vid = number(entry, "vlan")) out += fmt::format("  {:>4}", vid);
    out += "\n";
  }
  return out;
}

std::string daemon_table(const Json& answer) {
  std::string out;
  for (const auto& [name, value] : answer.items())
    out += fmt::format("{:<13} {}\n", name, value.is_string() ? value.get<std::string>() : json_text(value));
  return out;
}

std::string replay_table(const ReplayOutcome& o, const std::string& file) {
  std::string out = fmt::format("{}: {} frames\n", file, o.link_type);
  out += fmt::format("  {:<14} {:>12} {:>16}\n", "", "packets", "bytes");
  out += fmt::format("  {:<14} {:>12} {:>16}\n", "went in", o.sent_packets, o.sent_bytes);
  out += fmt::format("  {:<14} {:>12} {:>16}\n", "came out", o.received_packets, o.received_bytes);
  out += fmt::format("  {:<14} {:>12}\n", "lost", o.lost());
  out += fmt::format("  {:<14} {:>12}\n", "mismatches", o.mismatches);
  auto note = [&](uint64_t count, const char* what, const char* meaning) {
    if (count) out += fmt::format("  {:<14} {:>12}  {}\n", what, count, meaning);
  };
  note(o.truncated, "truncated", "shortened in the capture: filled up with zeroes");
  note(o.long_packets, "long", "packets of several slots");
  note(o.too_short, "left out", "records below 14 bytes: no switch forwards them");
  note(o.too_long, "left out", "records of more than 64 buffers");
  if (!o.first_mismatch.empty()) out += "first mismatch: " + o.first_mismatch + "\n";
  if (o.sent_packets == 0)
    out += "There was no packet to replay.\n";
  else
    out += o.identical()
               ? fmt::format("Every packet came out byte for byte as it went in, in order ({:.3f} s).\n", o.seconds)
               : "What came out is NOT what went in.\n";
  return out;
}

Json replay_json(const ReplayOutcome& o, const std::string& file) {
  return {{"file", file},
          {"link_type", o.link_type},
          {"sent_packets", o.sent_packets},
          {"sent_bytes", o.sent_bytes},
          {"received_packets", o.received_packets},
          {"received_bytes", o.received_bytes},
          {"lost", o.lost()},
          {"mismatches", o.mismatches},
          {"truncated", o.truncated},
          {"long_packets", o.long_packets},
          {"too_short", o.too_short},
          {"too_long", o.too_long},
          {"seconds", o.seconds},
          {"first_mismatch", o.first_mismatch},
          {"identical", o.identical()}};
}

}  // namespace unetmap::cli
