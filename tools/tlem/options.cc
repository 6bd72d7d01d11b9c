// SPDX-License-Identifier: BSD-2-Clause
#include "options.hh"

#include <fmt/core.h>

#include "parts/quantities.hh"
#include "router.hh"

namespace unetmap::tlem {
namespace {

using Store = std::function<Result<void>(const char*)>;

// Keeps the text once it makes sense.
template <class Parse>
Store model_text(std::vector<std::string>& texts, Parse parse) {
  return [&texts, parse](const char* text) -> Result<void> {
    if (texts.size() == 2) return Error{EINVAL, "given three times: there are two ways"};
    if (auto value = parse(text); !value) return value.error();
    texts.emplace_back(text);
    return {};
  };
}

Result<parts::Bandwidth> parse_bandwidth(std::string_view text) { return parts::parse_bandwidth(text, false); }

template <class T, class Parse>
Result<void> apply_one(const std::vector<std::string>& texts, Parse parse, T parts::LinkModel::*field, Models& models) {
  for (size_t way = 0; way < models.size() && !texts.empty(); way++) {
    auto value = parse(texts[std::min(way, texts.size() - 1)]);
    if (!value) return value.error();
    models[way].*field = *value;
  }
  return {};
}

Result<std::vector<uint16_t>> parse_processors(const std::string& text) {
  std::vector<uint16_t> given;
  for (size_t from = 0; from <= text.size();) {
    const size_t comma = std::min(text.find(',', from), text.size());
    auto number = parts::parse_whole(text.substr(from, comma - from), 0, 1023);
    if (!number) return number.error();
    given.push_back(uint16_t(*number));
    from = comma + 1;
  }
  switch (given.size()) {
    case 1:
      return std::vector<uint16_t>(4, given[0]);
    case 2:
      return std::vector<uint16_t>{given[0], given[0], given[1], given[1]};
    case 4:
      return given;
    default:
      return Error{EINVAL, fmt::format("'{}' is not one, two or four processors", text)};
  }
}

uint64_t longest_ns(const parts::Delay& delay) {
  // An exponential delay has no end; four times its average is rare.
  return delay.kind == parts::Delay::Kind::kConstant      ? delay.least_ns
         : delay.kind == parts::Delay::Kind::kExponential ? delay.least_ns + 4 * (delay.other_ns - delay.least_ns)
                                                          : delay.other_ns;
}

}  // namespace

Result<void> apply_texts(const ModelTexts& texts, Models& models) {
  using parts::LinkModel;
  if (auto r = apply_one(texts.bandwidth, parse_bandwidth, &LinkModel::bandwidth, models); !r) return r;
  if (auto r = apply_one(texts.delay, parts::parse_delay, &LinkModel::delay, models); !r) return r;
  if (auto r = apply_one(texts.loss, parts::parse_loss, &LinkModel::loss, models); !r) return r;
  if (auto r = apply_one(texts.reordering, parts::parse_reordering, &LinkModel::reordering, models); !r) return r;
  return apply_one(texts.queue, parts::parse_queue_bytes, &LinkModel::queue_bytes, models);
}

Result<Limits> parse_limits(const std::string& text) {
  const size_t one = text.find(','), two = one == text.npos ? one : text.find(',', one + 1);
  const Error wrong{EINVAL, fmt::format("'{}' is not MAX-BANDWIDTH,MAX-DELAY,MAX-HOLD", text)};
  if (two == text.npos) return wrong;
  auto bandwidth = parse_bandwidth(text.substr(0, one));
  auto delay = parts::parse_link_time_ns(text.substr(one + 1, two - one - 1));
  auto hold = parts::parse_link_time_ns(text.substr(two + 1));
  if (!bandwidth || !delay || !hold) return wrong;
  return Limits{bandwidth->bits_per_second, *delay, *hold};
}

Limits limits_of(const Models& models) {
  Limits out;
  out.bits_per_second = std::max(models[0].bandwidth.bits_per_second, models[1].bandwidth.bits_per_second);
  if (models[0].bandwidth.bits_per_second <= 0 || models[1].bandwidth.bits_per_second <= 0) out.bits_per_second = 0;
  for (const parts::LinkModel& model : models) {
    out.delay_ns = std::max(out.delay_ns, longest_ns(model.delay));
    out.hold_ns = std::max(out.hold_ns, model.reordering.hold_ns);
  }
  return out;
}

Result<void> within(const Models& models, const Limits& limits) {
  for (const parts::LinkModel& model : models) {
    const double bps = model.bandwidth.bits_per_second;
    if (limits.bits_per_second > 0 && (bps <= 0 || bps > limits.bits_per_second)) {
      return Error{ERANGE, fmt::format("bandwidth above the session's {:.0f}: start its first tlem with -M",
                                       limits.bits_per_second)};
    }
    if (longest_ns(model.delay) > limits.delay_ns) {
      return Error{ERANGE,
                   fmt::format("delay above the session's {} ns: start its first tlem with -M", limits.delay_ns)};
    }
    if (model.reordering.hold_ns > limits.hold_ns) {
      return Error{ERANGE,
                   fmt::format("hold time above the session's {} ns: start its first tlem with -M", limits.hold_ns)};
    }
  }
  return {};
}

parts::OptionTable option_table(Options& o) {
  using namespace parts;
  auto add = [](int& verbose, int by) {
    return [&verbose, by](const char*) {
      verbose += by;
      return Result<void>();
    };
  };
  return OptionTable(
      "tlem", "Emulates a link between two netmap ports. -B -D -L -R -Q: once for both ways, or twice.", "",
      {{'i', nullptr, "PORT", "a port; give two",
        [&o](const char* text) {
          o.ports.emplace_back(text);
          return Result<void>();
        }},
       {'B', nullptr, "BANDWIDTH", "BPS, constant,BPS or ether,BPS (default 0, no limit)",
        model_text(o.texts.bandwidth, parse_bandwidth)},
       {'D', nullptr, "DELAY", "T, constant,T, uniform,MIN,MAX or exp,MIN,AVERAGE",
        model_text(o.texts.delay, parse_delay)},
       {'L', nullptr, "LOSS", "P, plr,P of packets, or ber,P of bits", model_text(o.texts.loss, parse_loss)},
       {'R', nullptr, "REORDERING", "const,P,T: hold packets back for T",
        model_text(o.texts.reordering, parse_reordering)},
       {'Q', nullptr, "BYTES", "that wait for the bandwidth (default 50000)",
        model_text(o.texts.queue, parse_queue_bytes)},
       {'C', nullptr, "CPU[,CPU[,CPU,CPU]]", "processors of the two ways",
        [&o](const char* text) -> Result<void> {
          auto processors = parse_processors(text);
          if (!processors) return processors.error();
          o.processors = *processors;
          return {};
        }},
       {'b', nullptr, "PACKETS", "at most that many at a time (default 1024)", set_whole(o.batch, 1, 1 << 20)},
       {'w', nullptr, "SECONDS", "wait for links of interfaces first (default 2)", set_whole(o.wait_link_s, 0, 3600)},
       {'s', nullptr, "FILE", "a session: the first tlem of it emulates, later ones change how", set_text(o.session)},
       {'a', nullptr, nullptr, "with -s: end the session", set_flag(o.end_session)},
       {'M', nullptr, "BANDWIDTH,DELAY,HOLD", "the most that the session may be changed to",
        [&o](const char* text) -> Result<void> {
          auto limits = parse_limits(text);
          if (!limits) return limits.error();
          o.limits = *limits;
          return {};
        }},
       {'v', nullptr, nullptr, "say more", add(o.verbose, 1)},
       {'q', nullptr, nullptr, "say less: no rates every second", add(o.verbose, -1)},
       {'r', nullptr, nullptr, "route mode: an IPv4 router between the networks of two interfaces", set_flag(o.route)},
       {'G', nullptr, "IPV4-ADDRESS", "with -r: the default gateway behind the first port; again for the second",
        [&o](const char* text) -> Result<void> {
          auto gateway = parse_ip4(text);
          if (!gateway) return gateway.error();
          o.gateways.push_back(*gateway);
          return {};
        }},
       {0, "seed", "NUMBER", "of what is random (default 1)", set_whole(o.seed)},
       {0, "memory", "BYTES", "for packets under way, each way (default 256M)",
        [&o](const char* text) -> Result<void> {
          auto bytes = parse_queue_bytes(text);
          if (!bytes) return bytes.error();
          if (*bytes < 1 << 20) return Error{ERANGE, "less than 1M"};
          o.memory_bytes = *bytes;
          return {};
        }},
       {0, "json", nullptr, "print the summary as JSON", set_flag(o.json)}});
}

Result<void> complete(Options& o) {
  if (o.end_session) {
    if (o.session.empty()) return Error{EINVAL, "-a ends a session: name it with -s"};
    return {};
  }
  // Who changes a session needs no ports.
  if (!o.session.empty() && o.ports.empty()) return {};
  if (o.ports.size() != 2) return Error{EINVAL, "give two ports, with -i each"};
  for (std::string& port : o.ports) {
    if (!port.starts_with("netmap:") && !port.starts_with("vale")) port.insert(0, "netmap:");
  }
  if (o.gateways.size() > 2 || (!o.gateways.empty() && !o.route))
    return Error{EINVAL, "-G goes with -r, at most once for each port"};
  if (o.ports[0] == o.ports[1]) return Error{EINVAL, "give two different ports"};
  return {};
}

}  // namespace unetmap::tlem
