// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/question/query.hh"

#include <fmt/core.h>
#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <optional>

#include "base/port_address.hh"
#include "daemon/memory/shared_copy.hh"
#include "daemon/port/port_name.hh"
#include "daemon/question/question.hh"
#include "daemon/setting/names.hh"
#include "daemon/switch/settings.hh"
#include "vale/fdb.hh"

namespace unetmap::daemon {
namespace {

using Counter = std::pair<const char*, uint64_t>;
void add(Json& to, std::initializer_list<Counter> counters) {
  for (auto& [name, value] : counters) to[name] = (to.contains(name) ? to[name].get<uint64_t>() : 0) + value;
}

// What rings of interfaces count beside their krings.
void add_nic_losses(const Port& port, uint16_t ring, bool rx, Json& to) {
  if (!port.nic) return;
  SharedCopy<NicState> copy;
  port.region->read_private(port.info.rx_state_ofs + ring * port.info.rx_state_stride, copy.data(), sizeof *copy);
  const NicState& state = *copy;
  if (rx)
    add(to, {{"lost_full", get(state.rx_lost_full)},
             {"lost_oversize", get(state.rx_lost_oversize)},
             {"lost_forward", get(state.rx_lost_forward)}});
  else
    add(to, {{"lost_refused", get(state.tx_lost_refused)}});
}

// What the kernel counts at the AF_XDP socket of a queue; nullopt where there is none.
std::optional<xdp_statistics> socket_statistics(const Port& port, uint16_t ring) {
  if (!port.nic || port.nic->reply.mode == wire::NicMode::kPacket || port.nic->reply.mode == wire::NicMode::kDriver)
    return std::nullopt;
  const Interfaces::Held& held = *port.nic;
  if (ring >= held.reply.queues.size() || ring + size_t{1} >= held.fds.size()) return std::nullopt;
  xdp_statistics counted{};
  socklen_t bytes = sizeof counted;
  if (getsockopt(held.fds[ring].get(), SOL_XDP, XDP_STATISTICS, &counted, &bytes) < 0) return std::nullopt;
  return counted;
}

Json tx_ring_stats(const Port& port, uint16_t ring) {
  SharedCopy<TxKring> copy;
  port.region->read_private(port.info.tx_kring_ofs + ring * sizeof(TxKring), copy.data(), sizeof *copy);
  const TxKring& k = *copy;
  Json out;
  add(out, {{"packets", get(k.packets)},
            {"bytes", get(k.bytes)},
            {"syncs", get(k.syncs)},
            {"reinits", get(k.reinits)},
            {"lost_full", get(k.lost_full)},
            {"lost_malformed", get(k.lost_malformed)},
            {"lost_buffer", get(k.lost_buffer)},
            {"lost_indirect", get(k.lost_indirect)},
            {"lost_noport", get(k.lost_noport)},
            {"lost_convert", get(k.lost_convert)},
            {"lost_spoofed", get(k.lost_spoofed)},
            {"lost_isolated", get(k.lost_isolated)},
            {"lost_rate", get(k.lost_rate)},
            {"lost_vlan", get(k.lost_vlan)},
            {"lost_acl", get(k.lost_acl)},
            {"lost_link_local", get(k.lost_link_local)}});
  add_nic_losses(port, ring, false, out);
  // What was handed to the kernel and is no packet to it.
  if (auto counted = socket_statistics(port, ring)) add(out, {{"lost_malformed", counted->tx_invalid_descs}});
  return out;
}

// Frames that the kernel found no buffer or no room for, or took for too long: it drops (and counts among others) those
// that find the fill ring empty, which it counts besides, and those that are longer than a chunk.
void add_kernel_losses(const Port& port, uint16_t ring, Json& to) {
  if (!port.nic) return;
  Interfaces::Held& held = *port.nic;
  if (ring >= held.reply.queues.size() || ring + size_t{1} >= held.fds.size()) return;
  int fd = held.fds[ring].get();
  if (held.reply.mode == wire::NicMode::kPacket) {
    tpacket_stats counted{};  // since it was last asked
    socklen_t bytes = sizeof counted;
    if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &counted, &bytes) == 0) held.packet_losses += counted.tp_drops;
    add(to, {{"lost_full", held.packet_losses}});
    return;
  }
  if (auto counted = socket_statistics(port, ring)) {
    const uint64_t unfilled = held.reply.multi_buffer
                                  ? counted->rx_dropped
                                  : std::min<uint64_t>(counted->rx_dropped, counted->rx_fill_ring_empty_descs);
    add(to, {{"lost_full", counted->rx_ring_full + unfilled}, {"lost_oversize", counted->rx_dropped - unfilled}});
  }
}

Json rx_ring_stats(const Port& port, uint16_t ring) {
  SharedCopy<RxKring> copy;
  port.region->read_private(port.info.rx_kring_ofs + ring * sizeof(RxKring), copy.data(), sizeof *copy);
  const RxKring& k = *copy;
  SharedCopy<RxExchange> exchange;
  if (port.info.exchange_stride)
    port.region->read_exchange(port.info.exchange_ofs + ring * port.info.exchange_stride, exchange.data(),
                               sizeof *exchange);
  Json out;
  add(out, {{"packets", get(k.packets)},
            {"bytes", get(k.bytes)},
            {"syncs", get(k.syncs)},
            {"reinits", get(k.reinits)},
            {"lost_full", get(exchange->lost_full)},
            {"lost_oversize", get(exchange->lost_oversize)},
            {"lost_corrupt", get(k.lost_corrupt)}});
  add_kernel_losses(port, ring, out);
  add_nic_losses(port, ring, true, out);
  return out;
}

Json nic_json(const Interfaces::Held& held) {
  const wire::KeeperReply& reply = held.reply;
  Json out{{"interface", reply.interface},
           {"ifindex", reply.ifindex},
           {"mode", wire::mode_name(reply.mode)},
           {"why", reply.why},
           {"said", reply.said},
           {"mac", wire::mac_text(reply.mac)},
           {"mtu", reply.mtu},
           {"multi_buffer", reply.multi_buffer},
           {"keeper", reply.pid},
           {"down", held.down}};
  if (reply.taken) {
    out["way"] = wire::way_name(reply.taken->way);
    out["interrupts"] = reply.interrupts > 0;
  }
  if (!held.straight_to.empty()) out["straight_to"] = held.straight_to;
  if (held.error.code) out["error"] = held.error.text;
  return out;
}

// A direction: the sum over its rings, and each of them.
template <class F>
Json direction(uint16_t rings, F&& stats) {
  Json sum = Json::object(), each = Json::array();
  for (uint16_t i = 0; i < rings; i++) {
    Json ring = stats(i);
    for (auto& [name, value] : ring.items()) add(sum, {{name.c_str(), value.template get<uint64_t>()}});
    each.push_back(std::move(ring));
  }
  sum["rings"] = std::move(each);
  return sum;
}

uint64_t resident_kib() {
  unsigned long size = 0, resident = 0;
  if (FILE* statm = fopen("/proc/self/statm", "re")) {
    if (fscanf(statm, "%lu %lu", &size, &resident) != 2) resident = 0;
    fclose(statm);
  }
  return uint64_t{resident} * uint64_t(sysconf(_SC_PAGESIZE)) / 1024;
}

// The clock that senders stamp the forwarding table with.
uint32_t table_now_s() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return uint32_t(t.tv_sec);
}

}  // namespace

Json Query::ports(const Json& question) const {
  const ShownNames names = names_of(question);
  Json list = Json::array();
  for (auto& [name, held] : of_.ports.all()) {
    const Port& port = *held;
    const Switch::Record& record = *port.record();
    Json users = Json::array(), pids = Json::array(), monitors = Json::array();
    for (const File* user : port.users) {
      users.push_back({{"file", user->id},
                       {"pid", user->pid},
                       {"exclusive", user->exclusive},
                       {"tx_rings", {user->tx.first, user->tx.end}},
                       {"rx_rings", {user->rx.first, user->rx.end}}});
      pids.push_back(user->pid);
    }
    for (uint16_t monitor : record.monitors)
      if (monitor)
        if (auto* other = port.sw->find(monitor - 1u)) monitors.push_back(names.shown(*other->port));
    Json entry{{"name", names.shown(port)},
               {"kind", wire::kind_name(port.kind())},
               {"switch", port.sw->name()},
               {"index", port.info.index},
               {"region", port.region->info().id},
               {"region_bytes", port.region->shape().memsize()},
               {"header_len", record.header_len},
               {"lossless", bool(record.flags & kPortLossless)},
               {"zero_copy", bool(record.flags & kPortExchanges)},
               {"attached", port.attached},
               {"tx_rings", port.info.tx_rings - port.info.host_tx_rings},
               {"rx_rings", port.info.rx_rings - port.info.host_rx_rings},
               {"host_tx_rings", port.info.host_tx_rings},
               {"host_rx_rings", port.info.host_rx_rings},
               {"tx_slots", port.info.tx_slots},
               {"rx_slots", port.info.rx_slots},
               {"users", port.users.size()}};
    entry["pids"] = std::move(pids);
    entry["files"] = std::move(users);
    entry["monitors"] = std::move(monitors);
    add_fence(record, entry);
    if (of_.awaited.keeps(name)) entry["kept"] = true;
    add_attachment(port, entry);
    // Without an interface or a machine behind it that has an address of its own.
    if (!port.plug && !port.nic && !port.attached && !entry.contains("mac")) {
      const auto a = port_address(name);
      char text[18];
      snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", a[0], a[1], a[2], a[3], a[4], a[5]);
      entry["address"] = text;
    }
    if (port.plug) entry["plug"] = of_.plugs.json(name);
    if (port.nic) {
      entry["nic"] = nic_json(*port.nic);
      const uint64_t inode = names.name_space(port);
      entry["nic"]["namespace"] =
          ShownNames::label(inode, port.users.empty() ? port.nic->reply.pid : port.users.front()->pid);
    }
    if (port.parent) entry["parent"] = names.shown(*port.parent);
    list.push_back(std::move(entry));
  }
  return {{"ports", std::move(list)},
          {"persistent", persistent()},
          {"awaited", of_.awaited.json([this](const std::string& name) { return of_.ports.find(name) != nullptr; })},
          {"pins", of_.pins.json()}};
}

Json Query::persistent() const {
  Json out = Json::array();
  for (auto& [name, kept] : of_.persistent) {
    if (kept.autodelete) continue;
    Json entry{{"name", name},
               {"port", kept.port},
               {"region", kept.region->info().id},
               {"header_len", kept.header_len},
               {"tx_rings", kept.shape.tx_rings},
               {"rx_rings", kept.shape.rx_rings},
               {"tx_slots", kept.shape.tx_slots},
               {"rx_slots", kept.shape.rx_slots}};
    if (kept.name_space) {
      const Interfaces::Held* held = of_.interfaces->find(kept.keeper);
      entry["abandoned"] = held && !inhabited(held->reply.pid);
    }
    if (!kept.why.empty()) entry["why"] = kept.why;
    // Of an interface in another namespace than ours.
    if (const size_t at = kept.keeper.rfind('@'); at != std::string::npos) {
      const uint64_t inode = strtoull(kept.keeper.c_str() + at + 1, nullptr, 10);
      entry["namespace"] = ShownNames::label(inode, 0);
    }
    out.push_back(std::move(entry));
  }
  return out;
}

// Whether some process other than our keepers is in the network namespace of this one. Which namespace a process of
// more rights than ours is in may not be read, but what stands in its net folder has the same number where it is of the
// same one.
bool Query::inhabited(uint32_t keeper) {
  auto is_keeper = [](const std::filesystem::path& process) {
    std::string name;
    std::ifstream comm(process / "comm");
    std::getline(comm, name);
    return name == "unetmap-keeper";
  };
  auto network_of = [](const std::filesystem::path& process) {
    struct stat info;
    return stat((process / "net/dev").c_str(), &info) == 0 ? info.st_ino : 0;
  };
  const std::filesystem::path holder = "/proc/" + std::to_string(keeper);
  const ino_t network = is_keeper(holder) ? network_of(holder) : 0;
  if (network == 0) return true;  // not to be told
  std::error_code error;
  for (auto& entry : std::filesystem::directory_iterator("/proc", error))
    if (atoi(entry.path().filename().c_str()) > 0 && network_of(entry.path()) == network && !is_keeper(entry.path()))
      return true;
  return bool(error);
}

Result<Json> Query::stats(const Json& question) const {
  const ShownNames names = names_of(question);
  std::string only = text_of(question, "port").empty() ? "" : named_port(of_.ports, question);
  if (!only.empty() && !of_.ports.find(only))
    return Error{ENXIO, text_of(question, "port") + ": no such port; unetmap ports lists those there are"};
  Json list = Json::array();
  for (auto& [name, held] : of_.ports.all()) {
    if (!only.empty() && name != only) continue;
    const Port& port = *held;
    Json entry{{"name", names.shown(port)}};
    entry["tx"] = direction(port.info.tx_rings, [&](uint16_t ring) { return tx_ring_stats(port, ring); });
    entry["rx"] = direction(port.info.rx_rings, [&](uint16_t ring) { return rx_ring_stats(port, ring); });
    // What passed the switch by, between attached interfaces; tx as the port has it: into the switch.
    if (const Attachment* found = of_.attachments.find(name); found && !found->shortcuts.table.empty()) {
      fast_member past = of_.attachments.shortcuts().counted(found->shortcuts);
      entry["shortcut"] = {{"tx_packets", past.rx_frames},
                           {"tx_bytes", past.rx_bytes},
                           {"rx_packets", past.tx_frames},
                           {"rx_bytes", past.tx_bytes}};
    }
    list.push_back(std::move(entry));
  }
  return Json{{"ports", std::move(list)}};
}

// Whether there is one; a persistent one is, used or not.
Result<Json> Query::port(const Json& question) const {
  std::string name = text_of(question, "port");
  if (!of_.ports.find(named_port(of_.ports, question)) && !of_.persistent.count(name))
    return Error{ENXIO, name + ": no such port"};
  return Json{{"port", name}};
}

Result<Json> Query::fdb(const Json& question) const {
  std::string name = text_of(question, "switch");
  const std::shared_ptr<Switch> found = of_.ports.find_switch(name);
  if (!found) return Error{ENXIO, name + ": no such switch; a switch is there while it has ports"};
  Switch& sw = *found;
  const auto pins = of_.pins.of(name);
  Json entries = Json::array();
  vale::Fdb(&sw.shared()).each(table_now_s(), [&](uint64_t mac, uint16_t index, uint32_t age_s, uint16_t vid) {
    const Switch::Record* record = sw.find(index);
    if (!record) return;
    char text[32];
    auto byte = [&](int i) { return unsigned(mac >> (8 * i)) & 0xff; };
    snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", byte(0), byte(1), byte(2), byte(3), byte(4), byte(5));
    // Stamps may be of a moment later than ours.
    Json entry{
        {"mac", text}, {"port", record->port->name}, {"index", index}, {"age_s", int32_t(age_s) < 0 ? 0 : age_s}};
    if (vid != 0) entry["vlan"] = vid;
    if (pins.contains(mac)) entry["pinned"] = true;
    entries.push_back(std::move(entry));
  });
  return Json{{"switch", name},
              {"age_s", sw.shared().fdb_age_s.load(std::memory_order_relaxed)},
              {"entries", std::move(entries)}};
}

Json Query::daemon() const {
  return {{"version", UNETMAP_VERSION},
          {"pid", getpid()},
          {"socket", of_.socket_path},
          {"uptime_s", time(nullptr) - of_.started},
          {"switches", of_.ports.switches().size()},
          {"ports", of_.ports.size()},
          {"regions", of_.ports.regions_in_use()},
          {"descriptors", of_.files.size()},
          {"resident_kib", resident_kib()}};
}

Result<std::string> Query::answer(const std::string& text) const {
  auto question = parse_question(text);
  if (!question) return question.error();
  std::string what = text_of(*question, "what");
  Result<Json> out =
      Error{EINVAL, "question: \"what\" is not ports, port, stats, live, fdb, settings or daemon; see docs/wire.md"};
  if (what == "ports")
    out = ports(*question);
  else if (what == "stats")
    out = stats(*question);
  else if (what == "live")
    return live();
  else if (what == "fdb")
    out = fdb(*question);
  else if (what == "port")
    out = port(*question);
  else if (what == "settings")
    out = settings(*question);
  else if (what == "daemon")
    out = daemon();
  if (!out) return out.error();
  return json_text(*out);
}

// What NETMAP_REQ_VALE_ATTACH made of it.
void Query::add_attachment(const Port& port, Json& to) const {
  const Attachment* found = of_.attachments.find(port.name);
  if (!found) {
    // A persistent port that is no interface.
    if (port.attached && !port.plug) to["attachment"] = {{"interface", nullptr}, {"host", false}};
    return;
  }
  if (found->state != Attachment::State::kAttached) return;
  to["attachment"] = {{"interface", found->interface}, {"host", found->host}};
}

// What the settings of a port would be: for who has a file of them.
Result<Json> Query::settings(const Json& question) {
  auto wanted = question.find("set");
  if (wanted == question.end() || !wanted->is_object())
    return Error{EINVAL, "question: \"set\" is no object; see docs/wire.md"};
  const std::string port = text_of(question, "port");
  if (auto name = parse_port_name(port); !name) return name.error();
  auto settings = parse_named_settings(port, *wanted, {});
  if (!settings) return settings.error();
  return Json{{"set", all_settings_json(*settings)}};
}

void Query::add_fence(const Switch::Record& record, Json& to) {
  Json fence = settings_json(record.settings());
  for (auto& [key, value] : fence.items()) to[key] = value;
}

}  // namespace unetmap::daemon
