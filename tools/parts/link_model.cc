// SPDX-License-Identifier: BSD-2-Clause
#include "link_model.hh"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "quantities.hh"

namespace unetmap::parts {
namespace {

constexpr uint32_t kEthernetAdds = 24;  // preamble, gap and CRC
constexpr uint64_t kLongestNs = 3600'000'000'000;

using Words = std::vector<std::string_view>;

Words split(std::string_view text) {
  Words out;
  for (size_t from = 0;;) {
    const size_t comma = text.find(',', from);
    out.push_back(text.substr(from, comma == text.npos ? text.npos : comma - from));
    if (comma == text.npos) return out;
    from = comma + 1;
  }
}

Error wrong(std::string_view text, const char* forms) {
  return {EINVAL, fmt::format("'{}' is not one of: {}", text, forms)};
}

Result<double> parse_bps(std::string_view text) { return parse_scaled(text, {"bps", "b", "bit"}); }

bool is_constant(std::string_view word) { return word == "constant" || word == "const"; }

double unit(std::mt19937_64& random) { return std::uniform_real_distribution<double>(0, 1)(random); }

}  // namespace

Result<uint64_t> parse_link_time_ns(std::string_view text) {
  std::string word(text);
  // One letter stands for a unit here, m for milliseconds.
  if (!word.empty() && std::string_view("mun").find(word.back()) != std::string_view::npos) word += 's';
  auto ns = parse_time_ns(word, "s");
  if (!ns) return Error{EINVAL, fmt::format("'{}' is not a time, such as 20ms or 0.02", text)};
  if (*ns > kLongestNs) return Error{ERANGE, fmt::format("'{}' is more than an hour", text)};
  return ns;
}

Result<Bandwidth> parse_bandwidth(std::string_view text, bool may_be_real) {
  const char* forms = may_be_real ? "BPS, constant,BPS, ether,BPS, real, real,SPEEDUP" : "BPS, constant,BPS, ether,BPS";
  const Words words = split(text);
  Bandwidth out;
  if (words[0] == "real" && may_be_real && words.size() <= 2) {
    out.real = true;
    if (words.size() == 1) return out;
    auto speedup = parse_scaled(words[1]);
    if (!speedup || *speedup <= 0 || *speedup > 1e6) return wrong(text, forms);
    out.speedup = *speedup;
    return out;
  }
  if (words.size() > 2 || (words.size() == 2 && !is_constant(words[0]) && words[0] != "ether"))
    return wrong(text, forms);
  auto bps = parse_bps(words.back());
  if (!bps || *bps > 1e13) return wrong(text, forms);
  out.bits_per_second = *bps;
  if (words.size() == 2 && words[0] == "ether") out.added_bytes = kEthernetAdds;
  return out;
}

Result<Delay> parse_delay(std::string_view text) {
  const char* forms = "T, constant,T, uniform,MIN,MAX, exp,MIN,AVERAGE (times such as 20ms)";
  const Words words = split(text);
  Delay out;
  if (words.size() == 1 || (words.size() == 2 && is_constant(words[0]))) {
    auto time = parse_link_time_ns(words.back());
    if (!time) return wrong(text, forms);
    out.least_ns = *time;
    return out;
  }
  if (words.size() != 3 || (words[0] != "uniform" && words[0] != "exp")) return wrong(text, forms);
  auto least = parse_link_time_ns(words[1]), other = parse_link_time_ns(words[2]);
  if (!least || !other || *least > *other) return wrong(text, forms);
  return Delay{words[0] == "exp" ? Delay::Kind::kExponential : Delay::Kind::kUniform, *least, *other};
}

uint64_t Delay::draw(std::mt19937_64& random) const {
  switch (kind) {
    case Kind::kUniform:
      return std::uniform_int_distribution<uint64_t>(least_ns, other_ns)(random);
    case Kind::kExponential:
      // Cut where one in a hundred million would be longer, so that nothing waits for ever.
      return least_ns + uint64_t(double(other_ns - least_ns) * std::min(18.0, -std::log1p(-unit(random))));
    case Kind::kConstant:
      break;
  }
  return least_ns;
}

Result<Loss> parse_loss(std::string_view text) {
  const char* forms = "P, plr,P, ber,P (P from 0 to 1)";
  const Words words = split(text);
  if (words.size() > 2 || (words.size() == 2 && words[0] != "plr" && words[0] != "ber")) return wrong(text, forms);
  auto probability = parse_probability(words.back());
  if (!probability) return wrong(text, forms);
  Loss out;
  (words.size() == 2 && words[0] == "ber" ? out.bit : out.packet) = *probability;
  return out;
}

bool Loss::draw(size_t bytes, std::mt19937_64& random) const {
  if (packet > 0) return unit(random) < packet;
  if (bit <= 0) return false;
  // The chance that any of its bits is wrong.
  return unit(random) < -std::expm1(8 * double(bytes) * std::log1p(-bit));
}

Result<Reordering> parse_reordering(std::string_view text) {
  const Words words = split(text);
  if (words.size() != 3 || !is_constant(words[0])) return wrong(text, "const,P,T");
  auto probability = parse_probability(words[1]);
  auto hold = parse_link_time_ns(words[2]);
  if (!probability || !hold) return wrong(text, "const,P,T");
  return Reordering{*probability, *hold};
}

Result<uint64_t> parse_queue_bytes(std::string_view text) {
  constexpr std::string_view kSuffixes = "kmg";
  uint64_t factor = 1;
  if (!text.empty()) {
    const size_t at = kSuffixes.find(char(text.back() | 0x20));
    if (at != kSuffixes.npos) factor = uint64_t{1} << (10 * (at + 1));
  }
  auto value = parse_whole(factor > 1 ? text.substr(0, text.size() - 1) : text, 0, uint64_t{1} << 33);
  if (!value) return Error{EINVAL, fmt::format("'{}' is not a number of bytes, such as 50K", text)};
  return *value * factor;
}

Link::Outcome Link::pass(uint64_t now_ns, size_t bytes) {
  const uint64_t took_ns = model_.bandwidth.time_ns(bytes);
  if (took_ns) {
    const uint64_t begin = std::max(now_ns, free_at_ns_);
    // An empty link takes any packet; else it waits behind the others, where there is room.
    const double waiting_bytes = double(begin - now_ns) * model_.bandwidth.bits_per_second / 8e9;
    if (begin > now_ns && waiting_bytes + double(bytes) > double(model_.queue_bytes))
      return {Fate::kQueueFull, 0, false};
    free_at_ns_ = begin + took_ns;
    now_ns = free_at_ns_;
  }
  // A packet that is spoilt on the wire took its time there.
  if (model_.loss.draw(bytes, random_)) return {Fate::kLost, 0, false};
  const uint64_t leaves = std::max(last_ns_, now_ns + model_.delay.draw(random_));
  if (model_.reordering.probability > 0 && unit(random_) < model_.reordering.probability) {
    return {Fate::kPasses, leaves + model_.reordering.hold_ns, true};
  }
  last_ns_ = leaves;
  return {Fate::kPasses, leaves, false};
}

}  // namespace unetmap::parts
