// SPDX-License-Identifier: BSD-2-Clause
#include "metrics.hh"

#include <fmt/core.h>

#include <functional>

#include "base/json.hh"

namespace unetmap::cli::live {
namespace {

// Label values: backslash, quote and line feed are escaped. Names of ports may hold any byte but NUL; what is no UTF-8
// was replaced by the daemon.
std::string escaped(const std::string& value) {
  std::string out;
  for (char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out;
}

std::string labels_of(const Port& port) {
  return fmt::format("port=\"{}\",switch=\"{}\",kind=\"{}\"", escaped(port.name), escaped(port.sw), escaped(port.kind));
}

class Text {
 public:
  Text(const Sample& sample, Exposition exposition) : sample_(sample), exposition_(exposition) {}

  void family(const std::string& name, const char* type, const char* unit, const char* help) {
    counter_ = std::string_view(type) == "counter";
    name_ = name;
    // OpenMetrics names the family without _total, the older text with it.
    const bool open = exposition_ == Exposition::kOpenMetrics;
    const std::string family = counter_ && !open ? name + "_total" : name;
    out_ += fmt::format("# TYPE {} {}\n", family, type);
    if (open && *unit) out_ += fmt::format("# UNIT {} {}\n", family, unit);
    out_ += fmt::format("# HELP {} {}\n", family, help);
  }
  void value(const std::string& labels, uint64_t number) {
    out_ += name_;
    if (counter_) out_ += "_total";
    if (!labels.empty()) out_ += "{" + labels + "}";
    out_ += fmt::format(" {}\n", number);
  }

  // The one sample of an info family.
  void info(const std::string& labels) { out_ += fmt::format("{}_info{{{}}} 1\n", name_, labels); }

  void both_ways(const std::string& name, const char* type, const char* unit, const char* help,
                 const std::function<uint64_t(const Direction&)>& get) {
    family(name, type, unit, help);
    for (const Port& port : sample_.ports) {
      const std::string labels = labels_of(port);
      value(labels + ",direction=\"transmit\"", get(port.tx));
      value(labels + ",direction=\"receive\"", get(port.rx));
    }
  }
  void each(const std::string& name, const char* type, const char* unit, const char* help,
            const std::function<uint64_t(const Port&)>& get) {
    family(name, type, unit, help);
    for (const Port& port : sample_.ports) value(labels_of(port), get(port));
  }
  void lost() {
    family("unetmap_port_lost_packets", "counter", "packets",
           "Packets lost at a port, by cause; unetmap(8) explains the causes.");
    for (const Port& port : sample_.ports) {
      const std::string labels = labels_of(port);
      for (const auto& [cause, packets] : port.tx.lost)
        value(fmt::format("{},direction=\"transmit\",cause=\"{}\"", labels, escaped(cause)), packets);
      for (const auto& [cause, packets] : port.rx.lost)
        value(fmt::format("{},direction=\"receive\",cause=\"{}\"", labels, escaped(cause)), packets);
    }
  }

  std::string take() {
    if (exposition_ == Exposition::kOpenMetrics) out_ += "# EOF\n";
    return std::move(out_);
  }

 private:
  const Sample& sample_;
  Exposition exposition_;
  std::string out_, name_;
  bool counter_ = false;
};

void up(Text& text, bool is_up) {
  text.family("unetmap_up", "gauge", "", "Whether the daemon answers.");
  text.value("", is_up);
}

}  // namespace

DaemonFacts daemon_facts(const Json& answer) {
  DaemonFacts out;
  auto number = [&](const char* key) { return answer.is_object() ? answer.value(key, uint64_t{0}) : 0; };
  if (answer.is_object()) out.version = answer.value("version", "");
  out.uptime_s = number("uptime_s");
  out.resident_kib = number("resident_kib");
  out.switches = number("switches");
  out.regions = number("regions");
  out.descriptors = number("descriptors");
  return out;
}

std::string metrics(const Sample& sample, const DaemonFacts& facts, Exposition exposition) {
  Text text(sample, exposition);
  up(text, true);
  if (exposition == Exposition::kOpenMetrics) {
    text.family("unetmap_build", "info", "", "Version of the daemon.");
    text.info("version=\"" + escaped(facts.version) + "\"");
  } else {
    text.family("unetmap_build_info", "gauge", "", "Version of the daemon.");
    text.value("version=\"" + escaped(facts.version) + "\"", 1);
  }
  text.family("unetmap_uptime_seconds", "gauge", "seconds", "Since the daemon started.");
  text.value("", facts.uptime_s);
  text.family("unetmap_resident_memory_bytes", "gauge", "bytes", "Memory of the daemon that is resident.");
  text.value("", facts.resident_kib * 1024);
  text.family("unetmap_switches", "gauge", "", "Switches that there are.");
  text.value("", facts.switches);
  text.family("unetmap_ports", "gauge", "", "Ports that there are, pipes and monitors included.");
  text.value("", sample.ports.size());
  text.family("unetmap_descriptors", "gauge", "", "Open netmap descriptors.");
  text.value("", facts.descriptors);
  text.both_ways("unetmap_port_packets", "counter", "packets", "Packets that a port's programs sent and received.",
                 [](const Direction& d) { return d.packets; });
  text.both_ways("unetmap_port_bytes", "counter", "bytes",
                 "Bytes of these packets, without virtio-net headers' and CRC's.",
                 [](const Direction& d) { return d.bytes; });
  text.both_ways("unetmap_port_syncs", "counter", "", "Synchronisations of rings (ioctl, poll).",
                 [](const Direction& d) { return d.syncs; });
  text.both_ways("unetmap_port_ring_slots", "gauge", "", "Slots of a port's rings.",
                 [](const Direction& d) { return d.slots; });
  text.both_ways("unetmap_port_ring_used_slots", "gauge", "", "Slots that wait: to leave, or to be read.",
                 [](const Direction& d) { return d.used; });
  text.lost();
  text.each("unetmap_port_sleeps", "counter", "", "Times that a port's programs went to sleep until something came.",
            [](const Port& port) { return port.sleeps; });
  text.each("unetmap_port_connected", "gauge", "", "Whether a plugged port has its machine or peer; 1 for others.",
            [](const Port& port) { return uint64_t{port.connected}; });
  return text.take();
}

std::string metrics_without_daemon(Exposition exposition) {
  const Sample none;
  Text text(none, exposition);
  up(text, false);
  return text.take();
}

}  // namespace unetmap::cli::live
