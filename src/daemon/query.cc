// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/query.hh"

#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <ctime>

#include "daemon/settings.hh"
#include "vale/fdb.hh"

namespace unetmap::daemon {
namespace {

const char* kind_name(wire::PortKind kind) {
  switch (kind) {
    case wire::PortKind::kVale: return "vale";
    case wire::PortKind::kPipe: return "pipe";
    case wire::PortKind::kMonitor: return "monitor";
    case wire::PortKind::kPersistent: return "persistent";
    case wire::PortKind::kNic: return "nic";
    case wire::PortKind::kNull: return "null";
  }
  return "?";
}

// Names come from clients, and need not be text: what is no UTF-8 is replaced.
std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Result<Json> parse(const std::string& text) {
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return Error{EINVAL, "question: is no JSON object; see docs/wire.md"};
  return json;
}

std::string text_of(const Json& json, const char* key) {
  auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

// A copy of shared counters: each load may be of another moment.
template <class T>
struct Copy {
  alignas(T) uint8_t bytes[sizeof(T)] = {};
  const T& operator*() const { return *reinterpret_cast<const T*>(bytes); }
};

using Counter = std::pair<const char*, uint64_t>;
void add(Json& to, std::initializer_list<Counter> counters) {
  for (auto& [name, value] : counters) to[name] = (to.contains(name) ? to[name].get<uint64_t>() : 0) + value;
}
uint64_t get(const std::atomic<uint64_t>& counter) { return counter.load(std::memory_order_relaxed); }

Json tx_ring_stats(const Port& port, uint16_t ring) {
  Copy<TxKring> copy;
  port.region->read_private(port.info.tx_kring_ofs + ring * sizeof(TxKring), copy.bytes, sizeof copy.bytes);
  const TxKring& k = *copy;
  Json out;
  add(out, {{"packets", get(k.packets)}, {"bytes", get(k.bytes)}, {"syncs", get(k.syncs)}, {"reinits", get(k.reinits)},
            {"lost_full", get(k.lost_full)}, {"lost_malformed", get(k.lost_malformed)}, {"lost_buffer", get(k.lost_buffer)},
            {"lost_indirect", get(k.lost_indirect)}, {"lost_noport", get(k.lost_noport)}, {"lost_convert", get(k.lost_convert)}, {"lost_spoofed", get(k.lost_spoofed)},
            {"lost_isolated", get(k.lost_isolated)}, {"lost_rate", get(k.lost_rate)}});
  return out;
}

// Frames that the kernel found no buffer or no room for.
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
  xdp_statistics counted{};
  socklen_t bytes = sizeof counted;
  if (getsockopt(fd, SOL_XDP, XDP_STATISTICS, &counted, &bytes) == 0)
    add(to, {{"lost_full", counted.rx_dropped + counted.rx_ring_full}});
}

Json rx_ring_stats(const Port& port, uint16_t ring) {
  Copy<RxKring> copy;
  port.region->read_private(port.info.rx_kring_ofs + ring * sizeof(RxKring), copy.bytes, sizeof copy.bytes);
  const RxKring& k = *copy;
  Copy<RxExchange> exchange;
  if (port.info.exchange_stride)
    port.region->read_exchange(port.info.exchange_ofs + ring * port.info.exchange_stride, exchange.bytes, sizeof exchange.bytes);
  Json out;
  add(out, {{"packets", get(k.packets)}, {"bytes", get(k.bytes)}, {"syncs", get(k.syncs)}, {"reinits", get(k.reinits)},
            {"lost_full", get((*exchange).lost_full)}, {"lost_oversize", get((*exchange).lost_oversize)},
            {"lost_corrupt", get(k.lost_corrupt)}});
  add_kernel_losses(port, ring, out);
  return out;
}

Json nic_json(const Interfaces::Held& held) {
  const wire::KeeperReply& reply = held.reply;
  Json out{{"interface", reply.interface}, {"ifindex", reply.ifindex}, {"mode", wire::mode_name(reply.mode)},
           {"why", reply.why}, {"said", reply.said}, {"mac", wire::mac_text(reply.mac)}, {"mtu", reply.mtu},
           {"multi_buffer", reply.multi_buffer}, {"keeper", reply.pid}, {"down", held.down}};
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

Json Query::ports() const {
  Json list = Json::array();
  for (auto& [name, held] : registry_.ports_) {
    const Port& port = *held;
    const Switch::Record& record = *port.record();
    Json users = Json::array(), pids = Json::array(), monitors = Json::array();
    for (const File* user : port.users) {
      users.push_back({{"file", user->id}, {"pid", user->pid}, {"exclusive", user->exclusive},
                       {"tx_rings", {user->tx.first, user->tx.end}}, {"rx_rings", {user->rx.first, user->rx.end}}});
      pids.push_back(user->pid);
    }
    for (uint16_t monitor : record.monitors)
      if (monitor)
        if (auto* other = port.sw->find(monitor - 1u)) monitors.push_back(other->port->name);
    Json entry{{"name", name}, {"kind", kind_name(port.kind())}, {"switch", port.sw->name()}, {"index", port.info.index},
               {"region", port.region->info().id}, {"region_bytes", port.region->shape().memsize()},
               {"header_len", record.header_len}, {"lossless", bool(record.flags & kPortLossless)},
               {"attached", port.attached}, {"tx_rings", port.info.tx_rings}, {"rx_rings", port.info.rx_rings},
               {"tx_slots", port.info.tx_slots}, {"rx_slots", port.info.rx_slots}, {"users", port.users.size()}};
    entry["pids"] = std::move(pids);
    entry["files"] = std::move(users);
    entry["monitors"] = std::move(monitors);
    add_fence(record, entry);
    if (port.plug) entry["plug"] = registry_.plug_json(name);
    if (port.nic) entry["nic"] = nic_json(*port.nic);
    if (port.parent) entry["parent"] = port.parent->name;
    list.push_back(std::move(entry));
  }
  Json persistent = Json::array();
  for (auto& [name, kept] : registry_.persistent_)
    if (!kept.autodelete)
      persistent.push_back({{"name", name}, {"port", kept.port}, {"header_len", kept.header_len},
                            {"tx_rings", kept.shape.tx_rings}, {"rx_rings", kept.shape.rx_rings},
                            {"tx_slots", kept.shape.tx_slots}, {"rx_slots", kept.shape.rx_slots}});
  return {{"ports", std::move(list)}, {"persistent", std::move(persistent)}};
}

Result<Json> Query::stats(const Json& question) const {
  std::string only = text_of(question, "port");
  if (!only.empty() && !registry_.find_port(only)) return Error{ENXIO, only + ": no such port; unetmap ports lists those there are"};
  Json list = Json::array();
  for (auto& [name, held] : registry_.ports_) {
    if (!only.empty() && name != only) continue;
    const Port& port = *held;
    Json entry{{"name", name}};
    entry["tx"] = direction(port.info.tx_rings, [&](uint16_t ring) { return tx_ring_stats(port, ring); });
    entry["rx"] = direction(port.info.rx_rings, [&](uint16_t ring) { return rx_ring_stats(port, ring); });
    // What passed the switch by, between attached interfaces; tx as the port has it: into the switch.
    if (auto found = registry_.attachments_.find(name); found != registry_.attachments_.end() && !found->second.table.empty()) {
      fast_member past = registry_.shortcuts_.find(found->second.table)->second->counted(found->second.member);
      entry["shortcut"] = {{"tx_packets", past.rx_frames}, {"tx_bytes", past.rx_bytes}, {"rx_packets", past.tx_frames},
                           {"rx_bytes", past.tx_bytes}};
    }
    list.push_back(std::move(entry));
  }
  return Json{{"ports", std::move(list)}};
}

Result<Json> Query::fdb(const Json& question) const {
  std::string name = text_of(question, "switch");
  auto found = registry_.switches_.find(name);
  if (found == registry_.switches_.end()) return Error{ENXIO, name + ": no such switch; a switch is there while it has ports"};
  Switch& sw = *found->second;
  Json entries = Json::array();
  vale::Fdb(&sw.shared()).each(table_now_s(), [&](uint64_t mac, uint16_t index, uint32_t age_s) {
    const Switch::Record* record = sw.find(index);
    if (!record) return;
    char text[32];
    auto byte = [&](int i) { return unsigned(mac >> (8 * i)) & 0xff; };
    snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", byte(0), byte(1), byte(2), byte(3), byte(4), byte(5));
    // Stamps may be of a moment later than ours.
    entries.push_back({{"mac", text}, {"port", record->port->name}, {"index", index}, {"age_s", int32_t(age_s) < 0 ? 0 : age_s}});
  });
  return Json{{"switch", name}, {"age_s", sw.shared().fdb_age_s.load(std::memory_order_relaxed)}, {"entries", std::move(entries)}};
}

Json Query::daemon() const {
  return {{"version", UNETMAP_VERSION}, {"pid", getpid()}, {"socket", registry_.socket_path_},
          {"uptime_s", time(nullptr) - registry_.started_}, {"switches", registry_.switch_count()},
          {"ports", registry_.port_count()}, {"regions", registry_.region_count()},
          {"descriptors", registry_.file_count()}, {"resident_kib", resident_kib()}};
}

Result<std::string> Query::answer(const std::string& text) const {
  auto question = parse(text);
  if (!question) return question.error();
  std::string what = text_of(*question, "what");
  Result<Json> out = Error{EINVAL, "question: \"what\" is not ports, stats, fdb or daemon; see docs/wire.md"};
  if (what == "ports") out = ports();
  else if (what == "stats") out = stats(*question);
  else if (what == "fdb") out = fdb(*question);
  else if (what == "daemon") out = daemon();
  if (!out) return out.error();
  return dump(*out);
}

Result<void> Query::set(const std::string& text) const {
  auto wanted = parse(text);
  if (!wanted) return wanted.error();
  std::string name = text_of(*wanted, "port");
  auto found = registry_.ports_.find(name);
  if (found == registry_.ports_.end()) return Error{ENXIO, name + ": no such port; open it first"};
  Port& port = *found->second;
  if (port.info.exchange_stride == 0 || port.kind() == wire::PortKind::kMonitor)
    return Error{EINVAL, name + ": only ports of a switch can be lossless or fenced; name one"};
  wanted->erase("port");
  auto settings = parse_settings(name, *wanted, {port.record()->fence, port.record()->group, bool(port.record()->flags & kPortLossless)});
  if (!settings) return settings.error();
  port.sw->set_flag(port.info.index, kPortLossless, settings->lossless);
  port.sw->set_group(port.info.index, settings->group);
  port.sw->set_fence(port.info.index, settings->fence);
  if (!settings->lossless) wake_senders(registry_.files_, {port.unique});
  registry_.refresh_shortcuts();
  return {};
}

void Query::add_fence(const Switch::Record& record, Json& to) {
  Json fence = settings_json({record.fence, record.group, bool(record.flags & kPortLossless)});
  for (auto& [key, value] : fence.items()) to[key] = value;
}

Result<std::string> Registry::query(const std::string& json) { return Query(*this).answer(json); }
Result<void> Registry::set(const std::string& json) { return Query(*this).set(json); }

}  // namespace unetmap::daemon
