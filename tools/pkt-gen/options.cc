// SPDX-License-Identifier: BSD-2-Clause
// One table drives parsing and help: each row is a letter (or a long name), what it takes, what it means and how it is
// stored.
#include "options.hh"

#include <fmt/core.h>
#include <getopt.h>
#include <unistd.h>

#include <charconv>
#include <cmath>
#include <string_view>

#include "base/fold.hh"
#include "parts/quantities.hh"

namespace unetmap::pktgen {
namespace {

using Store = Result<void> (*)(Options&, const char* text);

struct Row {
  char letter;           // 0: long name only
  const char* name;      // nullptr: letter only
  const char* argument;  // nullptr: takes none
  const char* help;      // nullptr: kept for old command lines, not shown
  Store store;
};

Error invalid(std::string text) { return Error{EINVAL, std::move(text)}; }

Result<uint64_t> whole(const char* text, uint64_t low, uint64_t high) {
  std::string_view view = text;
  uint64_t value = 0;
  auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), value);
  if (error != std::errc{} || end != view.data() + view.size() || value < low || value > high) {
    return invalid(fmt::format("'{}' is not a number from {} to {}", text, low, high));
  }
  return value;
}

template <class T>
Result<void> put(T& field, const char* text, uint64_t low, uint64_t high) {
  Result<uint64_t> value = whole(text, low, high);
  if (!value) return value.error();
  field = T(*value);
  return {};
}

Result<void> set(Options& o, Feature feature) {
  o.features |= feature;
  return {};
}

Result<void> set(bool& flag, bool value = true) {
  flag = value;
  return {};
}

constexpr struct {
  Function function;
  const char* name;
  uint32_t burst;
} kFunctions[] = {
    {Function::rx, "rx", 512},   {Function::tx, "tx", 512},       {Function::ping, "ping", 1},
    {Function::pong, "pong", 1}, {Function::txseq, "txseq", 512}, {Function::rxseq, "rxseq", 512},
};

Result<void> store_function(Options& o, const char* text) {
  for (const auto& known : kFunctions) {
    if (std::string_view(text) == known.name) {
      o.function = known.function;
      return {};
    }
  }
  return invalid(fmt::format("'{}' is not a function; choose tx, rx, ping, pong, txseq or rxseq", text));
}

Result<void> store_interface(Options& o, const char* text) {
  std::string_view name = text;
  auto use = [&](Backend backend, std::string_view device) {
    o.backend = backend;
    o.device = device;
  };
  o.interface = name;
  if (name.empty()) return invalid("the interface name is empty");
  if (name == "null") {
    use(Backend::null, name);
  } else if (name.starts_with("tap:")) {
    use(Backend::tap, name.substr(4));
  } else if (name.starts_with("pcap:")) {
    use(Backend::pcap, name.substr(5));
  } else if (name.starts_with("netmap:") || name.starts_with("vale")) {
    use(Backend::netmap, name);
  } else if (name.starts_with("tap")) {
    use(Backend::tap, name);
  } else {
    use(Backend::netmap, name);
    o.device.insert(0, "netmap:");
  }
  return {};
}

Result<void> store_size(Options& o, const char* text) {
  // The first -l is the size, or the upper end; the second the lower end. Marked by min_bytes once the first was seen.
  Result<uint64_t> value = whole(text, kMinFrameBytes, kMaxFrameBytes);
  if (!value) return value.error();
  if (o.min_bytes == UINT32_MAX) {
    o.min_bytes = uint32_t(*value);
  } else {
    o.bytes = uint32_t(*value);
    o.min_bytes = UINT32_MAX;
  }
  return {};
}

Result<void> store_ip(std::optional<IpRange>& range, const char* text) {
  Result<IpRange> parsed = parse_ip_range(text);
  if (!parsed) return parsed.error();
  range = *parsed;
  return {};
}

Result<void> store_mac(std::optional<MacRange>& range, const char* text) {
  Result<MacRange> parsed = parse_mac_range(text);
  if (!parsed) return parsed.error();
  range = *parsed;
  return {};
}

Result<void> store_rings(Options& o, const char* text) {
  uint64_t value[4] = {};
  int given = 0;
  std::string_view rest = text;
  while (true) {
    size_t comma = rest.find(',');
    std::string part(rest.substr(0, comma));
    if (given == 4) return invalid(fmt::format("'{}' has more than four numbers", text));
    if (!part.empty()) {
      Result<uint64_t> number = whole(part.c_str(), 0, given < 2 ? UINT32_MAX : 0xffff);
      if (!number) return number.error();
      value[given] = *number;
    }
    given++;
    if (comma == rest.npos) break;
    rest.remove_prefix(comma + 1);
  }
  if (given < 2) value[1] = value[0];
  if (given < 4) value[3] = value[2];
  o.rings = RingShape{uint32_t(value[0]), uint32_t(value[1]), uint16_t(value[2]), uint16_t(value[3])};
  return {};
}

Result<void> store_vnet(Options& o, const char* text) {
  Result<uint64_t> value = whole(text, 0, kMaxVnetHeader);
  if (!value || (*value != 0 && *value != 10 && *value != 12)) {
    return invalid(fmt::format("'{}' is not a virtio-net header length; choose 0, 10 or 12", text));
  }
  o.vnet_header = uint32_t(*value);
  return {};
}

Result<void> store_scaled(uint64_t& field, const char* text) {
  Result<uint64_t> value = parse_scaled(text);
  if (!value) return value.error();
  field = *value;
  return {};
}

constexpr Row kRows[] = {
    {'h', "help", nullptr, "show this text and exit", [](Options& o, const char*) { return set(o.help); }},
    {0, "version", nullptr, "show the version and exit", [](Options& o, const char*) { return set(o.version); }},
    {'i', nullptr, "INTERFACE",
     "port to use: valeS:P, netmap:IF or IF, pipes and monitors as netmap names them; tap:NAME or tapNAME for a tap "
     "device, "
     "pcap:IF for libpcap, null to send nowhere",
     store_interface},
    {'f', nullptr, "FUNCTION", "tx, rx (default), ping, pong, txseq or rxseq", store_function},
    {'n', nullptr, "COUNT", "packets to send or receive, or pings; 0 (default) is without end",
     [](Options& o, const char* t) { return store_scaled(o.count, t); }},
    {'l', nullptr, "BYTES",
     "packet size without CRC (60); given twice, sizes are drawn from the second up to the first", store_size},
    {'b', nullptr, "PACKETS", "most packets moved at a time (512; for ping 1)",
     [](Options& o, const char* t) { return put(o.burst, t, 1, 1u << 20); }},
    {'4', nullptr, nullptr, "IPv4 addresses (default)",
     [](Options& o, const char*) -> Result<void> { return o.family = Family::v4, Result<void>{}; }},
    {'6', nullptr, nullptr, "IPv6 addresses",
     [](Options& o, const char*) -> Result<void> { return o.family = Family::v6, Result<void>{}; }},
    {'d', nullptr, "IP[:PORT[-IP:PORT]]", "destination address and port, or range; [IPV6]:PORT",
     [](Options& o, const char* t) { return store_ip(o.destination, t); }},
    {'s', nullptr, "IP[:PORT[-IP:PORT]]", "source address and port, or range",
     [](Options& o, const char* t) { return store_ip(o.source, t); }},
    {'D', nullptr, "MAC[-MAC]", "destination MAC address or range (broadcast)",
     [](Options& o, const char* t) { return store_mac(o.destination_mac, t); }},
    {'S', nullptr, "MAC[-MAC]", "source MAC address or range (the interface's own)",
     [](Options& o, const char* t) { return store_mac(o.source_mac, t); }},
    {'a', nullptr, "CPU", "pin the first thread to this CPU and each further one to the next",
     [](Options& o, const char* t) { return put(o.first_cpu, t, 0, 1u << 16); }},
    {'c', nullptr, "CPUS", "CPUs to spread pinned threads over; 0 is all",
     [](Options& o, const char* t) { return put(o.cpus, t, 0, 1u << 16); }},
    {'p', nullptr, "THREADS", "threads, each with a ring (pair) of its own; 1 (default) serves all rings",
     [](Options& o, const char* t) { return put(o.threads, t, 1, 4096); }},
    {'T', nullptr, "MS", "milliseconds between reports (1000)",
     [](Options& o, const char* t) { return put(o.report_ms, t, 1, 3'600'000); }},
    {'w', nullptr, "SECONDS", "wait this long for the link before starting (up to 2 for hardware, else 0)",
     [](Options& o, const char* t) { return put(o.wait_s, t, 0, 86400); }},
    {'W', nullptr, nullptr, "rx, rxseq: once packets have come, end after a second without any",
     [](Options& o, const char*) { return set(o.exit_when_idle); }},
    {'R', nullptr, "RATE", "packets a second to send, for example 5000, 250K or 14.88M; default as fast as possible",
     [](Options& o, const char* t) { return store_scaled(o.rate, t); }},
    {'X', nullptr, nullptr, "dump each packet sent or received", [](Options& o, const char*) { return set(o, kDump); }},
    {'H', nullptr, "BYTES", "set the port's virtio-net header length (0, 10 or 12) and send zeroed ones", store_vnet},
    {'P', nullptr, "FILE", "send the packets of this pcap file, over and over",
     [](Options& o, const char* t) -> Result<void> { return o.packet_file = t, Result<void>{}; }},
    {0, "once", nullptr, "with -P: send each packet of the file once, then end",
     [](Options& o, const char*) { return set(o.once); }},
    {0, "write", "FILE", "rx: write the received packets to this pcap file",
     [](Options& o, const char* t) -> Result<void> { return o.write_file = t, Result<void>{}; }},
    {'z', nullptr, nullptr, "random source addresses and ports",
     [](Options& o, const char*) { return set(o, kRandomSource); }},
    {'Z', nullptr, nullptr, "random destination addresses and ports",
     [](Options& o, const char*) { return set(o, kRandomDestination); }},
    {'N', nullptr, nullptr, "plain units in reports: pps and bps, without K, M, G",
     [](Options& o, const char*) { return set(o.normalize, false); }},
    {'F', nullptr, "FRAGMENTS", "send each packet in this many slots (1 to 63)",
     [](Options& o, const char* t) { return put(o.fragments, t, 1, 63); }},
    {'M', nullptr, "BYTES", "largest fragment; packets longer than FRAGMENTS of them take more slots",
     [](Options& o, const char* t) { return put(o.fragment_bytes, t, 1, kMaxFrameBytes); }},
    {'I', nullptr, nullptr, "send from memory of our own by reference (VALE only)",
     [](Options& o, const char*) { return set(o, kIndirect); }},
    {'v', nullptr, nullptr, "say more; may be repeated",
     [](Options& o, const char*) -> Result<void> { return o.verbosity++, Result<void>{}; }},
    {'r', nullptr, nullptr, "tx: send the buffers as they are, without writing packets into them",
     [](Options& o, const char*) { return set(o, kRubbish); }},
    {'A', nullptr, nullptr, "mean and standard deviation of the last rates in each report",
     [](Options& o, const char*) { return set(o, kRateStatistics); }},
    {'B', nullptr, nullptr, "count CRC and framing, 24 bytes a packet, in bit rates",
     [](Options& o, const char*) { return set(o.framing); }},
    {'C', nullptr, "TXS[,RXS[,TXR[,RXR]]]", "slots and rings of a port made by opening it; 0 is the default",
     store_rings},
    {'e', nullptr, "BUFFERS", "ask for this many extra buffers when opening the port",
     [](Options& o, const char* t) { return put(o.extra_buffers, t, 0, 1u << 24); }},
    {'o', nullptr, "BITS",
     "features by number: 1 prefetch, 2 touch received data, 4 and 8 copy into every slot, 16 timestamp, 32 is -I, 64 "
     "-X, 256 -r, "
     "512 -z, 1024 -Z, 2048 -A, 4096 checksums",
     [](Options& o, const char* t) -> Result<void> {
       uint32_t bits = 0;
       Result<void> stored = put(bits, t, 0, 8191);
       o.features |= bits;
       return stored;
     }},
    {0, "busy", nullptr, "ping, pong: look for packets all the time instead of sleeping in poll",
     [](Options& o, const char*) { return set(o.busy); }},
    {0, "json", nullptr, "end with one JSON object on standard output; everything else goes to standard error",
     [](Options& o, const char*) { return set(o.json); }},
    // Of earlier versions of the tool.
    {'t', nullptr, "COUNT", nullptr,
     [](Options& o, const char* t) {
       o.function = Function::tx;
       return store_scaled(o.count, t);
     }},
    {'E', nullptr, "PIPES", nullptr,
     [](Options& o, const char*) -> Result<void> {
       return o.notes.emplace_back("-E has no effect: pipes need no reservation"), Result<void>{};
     }},
    {'m', nullptr, "MODE", nullptr,
     [](Options& o, const char*) -> Result<void> { return o.notes.emplace_back("-m has no effect"), Result<void>{}; }},
};

constexpr int kLongBase = 256;

std::string option_name(const Row& row) {
  return row.letter ? fmt::format("-{}", row.letter) : fmt::format("--{}", row.name);
}

Result<void> finish_addresses(Options& o) {
  for (const auto& range : {o.source, o.destination}) {
    if (range && !o.family) o.family = range->family;
  }
  Family family = o.family.value_or(Family::v4);
  auto fallback = [family](const char* v4, const char* v6) { return *parse_ip_range(family == Family::v4 ? v4 : v6); };
  if (!o.source) o.source = fallback("10.0.0.1", "fd00::1");
  if (!o.destination) o.destination = fallback("10.1.0.1", "fd00::2");
  if (!o.destination_mac) o.destination_mac = MacRange{0xffffffffffff, 0xffffffffffff};
  for (const auto& range : {*o.source, *o.destination}) {
    if (range.family != family) {
      return invalid(fmt::format("address {} is not {}; give -s and -d (and -4 or -6) the same family",
                                 to_string(range), family == Family::v4 ? "IPv4" : "IPv6"));
    }
  }
  o.family = family;
  return {};
}

Result<void> finish_sizes(Options& o) {
  if (o.min_bytes == UINT32_MAX) o.min_bytes = 0;  // -l came once
  if (o.min_bytes > o.bytes) {
    return invalid(fmt::format("-l: the second size, {}, is above the first, {}", o.min_bytes, o.bytes));
  }
  if (o.min_bytes == o.bytes) o.min_bytes = 0;
  bool carries_stamp = o.function == Function::ping || o.function == Function::txseq || o.has(kTimestamp);
  uint32_t least = Frame::payload_offset(*o.family) + kStampBytes;
  if (carries_stamp && o.packet_file.empty() && (o.min_bytes ? o.min_bytes : o.bytes) < least) {
    return invalid(fmt::format("-l: {} needs packets of at least {} bytes for its sequence number and time",
                               o.has(kTimestamp) ? "-o 16" : name_of(o.function), least));
  }
  return {};
}

Result<void> finish_combinations(Options& o) {
  bool pings = o.function == Function::ping || o.function == Function::pong;
  if (o.backend != Backend::netmap) {
    if (o.device.empty()) return invalid(fmt::format("-i: '{}' names no device", o.interface));
    if (o.function != Function::tx && o.function != Function::rx) {
      return invalid(
          fmt::format("-f {} needs a netmap port; {} does tx and rx only", name_of(o.function), o.interface));
    }
    if (o.backend == Backend::null && o.function != Function::tx)
      return invalid("-i null can only be sent to: use -f tx");
    if (o.threads > 1) return invalid(fmt::format("-p: {} has one queue; leave -p out", o.interface));
    if (o.vnet_header.value_or(0) || o.has(kIndirect) || o.rings) {
      return invalid(fmt::format("-H, -I and -C need a netmap port, which {} is not", o.interface));
    }
  }
  if (o.threads > 1 && (pings || o.function == Function::txseq)) {
    return invalid(fmt::format("-p: {} works with one thread", name_of(o.function)));
  }
  if (o.has(kIndirect) && (o.fragments > 1 || o.fragment_bytes)) {
    return invalid("-I sends each packet in one slot; leave -F and -M out");
  }
  if (o.has(kIndirect) && o.has(kRubbish)) return invalid("-I and -r exclude each other");
  if (!o.packet_file.empty() && o.function != Function::tx) return invalid("-P sends: use it with -f tx");
  if (o.once && o.packet_file.empty()) return invalid("--once needs a file, -P FILE");
  if (!o.write_file.empty() && o.function != Function::rx)
    return invalid("--write stores what comes in: use it with -f rx");
  if (!o.write_file.empty() && o.threads > 1) return invalid("--write works with one thread");
  if (o.function == Function::txseq && (o.min_bytes || o.has(kIndirect) || o.has(kRubbish))) {
    return invalid("txseq does not go with -l twice, -I or -r");
  }
  if (o.function == Function::ping && (o.min_bytes || o.fragments > 1 || o.has(kIndirect) || o.has(kRubbish))) {
    return invalid("ping sends packets of one size, each in one slot: leave -l twice, -F, -I and -r out");
  }
  if (o.busy && !pings) return invalid("--busy is for ping and pong");
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  if (o.cpus && *o.cpus > online) return invalid(fmt::format("-c: {} CPUs wanted, {} are there", *o.cpus, online));
  if (o.first_cpu && *o.first_cpu >= online) {
    return invalid(fmt::format("-a: no CPU {}; they are 0 to {}", *o.first_cpu, online - 1));
  }
  return {};
}

Result<void> finish(Options& o) {
  if (o.interface.empty()) return invalid("no interface given; name one with -i, for example -i vale0:1");
  if (o.burst == 0) {
    for (const auto& known : kFunctions) {
      if (known.function == o.function) o.burst = known.burst;
    }
  }
  for (auto step : {finish_addresses, finish_sizes, finish_combinations}) {
    if (Result<void> done = step(o); !done) return done.error();
  }
  return {};
}

}  // namespace

const char* name_of(Function function) {
  for (const auto& known : kFunctions) {
    if (known.function == function) return known.name;
  }
  return "?";
}

Result<uint64_t> parse_scaled(const std::string& text) {
  std::string_view unit = text;
  const auto number = parts::take_number(unit);
  const char* const end = unit.data();
  bool wrong = !number;
  if (unit.ends_with("pps")) unit.remove_suffix(3);
  double factor = 1;
  if (unit == "k" || unit == "K") {
    factor = 1e3;
  } else if (unit == "m" || unit == "M") {
    factor = 1e6;
  } else if (unit == "g" || unit == "G") {
    factor = 1e9;
  } else if (!unit.empty()) {
    wrong = true;
  }
  if (wrong || *number * factor > 9e18) {
    return invalid(fmt::format("'{}' is not a number; write it like 1000, 250K or 1.5M", text));
  }
  if (factor == 1) {
    // Without a suffix all digits count: a double would round above 2^53.
    uint64_t exact = 0;
    auto [stop, failed] = std::from_chars(text.data(), end, exact);
    if (failed == std::errc{} && stop == end) return exact;
  }
  return uint64_t(std::llround(*number * factor));
}

Result<Options> parse_options(int argc, char* const argv[]) {
  std::string letters = ":";
  std::vector<option> names;
  for (int i = 0; const Row& row : kRows) {
    int argument = row.argument ? required_argument : no_argument;
    if (row.letter) letters += row.argument ? fmt::format("{}:", row.letter) : std::string(1, row.letter);
    if (row.name) names.push_back({row.name, argument, nullptr, kLongBase + i});
    i++;
  }
  names.push_back({nullptr, 0, nullptr, 0});

  Options o;
  opterr = 0;
  optind = 0;  // glibc: start afresh, whoever used getopt before
  for (int got; (got = getopt_long(argc, argv, letters.c_str(), names.data(), nullptr)) != -1;) {
    if (got == '?' || got == ':') {
      std::string_view word = argv[optind > 0 ? optind - 1 : 0];
      std::string name = optopt > 0 && optopt < kLongBase ? fmt::format("-{}", char(optopt)) : std::string(word);
      return invalid(got == ':' ? fmt::format("{} needs a value", name) : fmt::format("unknown option {}", name));
    }
    const Row* row = nullptr;
    if (got >= kLongBase) {
      row = &kRows[got - kLongBase];
    } else {
      for (const Row& candidate : kRows) {
        if (candidate.letter == got) row = &candidate;
      }
    }
    if (Result<void> stored = row->store(o, optarg); !stored) {
      return invalid(fmt::format("{}: {}", option_name(*row), stored.error().text));
    }
    if (o.help || o.version) return o;
  }
  if (optind < argc)
    return invalid(fmt::format("'{}' is not an option; every argument follows a letter", argv[optind]));
  if (Result<void> done = finish(o); !done) return done.error();
  return o;
}

std::string usage_text() {
  std::string text =
      "Usage: pkt-gen -i INTERFACE [-f FUNCTION] [options]\n"
      "Send, receive and measure packets on netmap ports.\n\n";
  constexpr size_t kHelpColumn = 14;
  for (const Row& row : kRows) {
    if (!row.help) continue;
    std::string left = row.letter && row.name ? fmt::format("  -{}, --{}", row.letter, row.name)
                       : row.letter           ? fmt::format("  -{}", row.letter)
                                              : fmt::format("  --{}", row.name);
    if (row.argument) left += fmt::format(" {}", row.argument);
    // A long left side gets a line of its own.
    std::string line = left;
    if (line.size() + 2 > kHelpColumn) {
      text += line + "\n";
      line.clear();
    }
    line.resize(kHelpColumn, ' ');
    text += line + row.help + "\n";
  }
  text += "\nExit status: 0 done, 1 failed, 2 wrong usage. See pkt-gen(8).\n";
  return unetmap::fold(text);
}

}  // namespace unetmap::pktgen
