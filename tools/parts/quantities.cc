// SPDX-License-Identifier: BSD-2-Clause
#include "quantities.hh"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>

namespace unetmap::parts {

std::optional<double> take_number(std::string_view& text, const char* characters) {
  if (text.empty() || !std::strchr("0123456789.", text[0])) return std::nullopt;
  const std::string copy(text.substr(0, text.find_first_not_of(characters)));
  char* end = nullptr;
  const double value = std::strtod(copy.c_str(), &end);
  if (end == copy.c_str() || !std::isfinite(value)) return std::nullopt;
  text.remove_prefix(size_t(end - copy.c_str()));
  return value;
}

namespace {

Error no_number(std::string_view text) { return {EINVAL, fmt::format("'{}' is not a number", text)}; }

}  // namespace

Result<uint64_t> parse_whole(std::string_view text, uint64_t low, uint64_t high) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < low || value > high) {
    return Error{EINVAL, fmt::format("'{}' is not a number from {} to {}", text, low, high)};
  }
  return value;
}

Result<double> parse_scaled(std::string_view text, std::initializer_list<std::string_view> units) {
  std::string_view rest = text;
  const auto value = take_number(rest);
  if (!value) return no_number(text);
  double factor = 1;
  if (!rest.empty()) {
    constexpr std::string_view kSuffixes = "kmgt";
    const size_t at = kSuffixes.find(char(rest[0] | 0x20));
    if (at != std::string_view::npos) {
      factor = std::pow(1000, double(at + 1));
      rest.remove_prefix(1);
    }
  }
  if (!rest.empty() && std::find(units.begin(), units.end(), rest) == units.end()) {
    return Error{EINVAL, fmt::format("'{}' ends in '{}', which is no unit of it", text, rest)};
  }
  return *value * factor;
}

Result<uint64_t> parse_time_ns(std::string_view text, std::string_view unit) {
  struct Unit {
    std::string_view name;
    double ns;
  };
  constexpr std::array kUnits{Unit{"ns", 1}, Unit{"us", 1e3}, Unit{"ms", 1e6}, Unit{"s", 1e9}, Unit{"m", 60e9}};
  std::string_view rest = text;
  const auto value = take_number(rest);
  if (!value) return no_number(text);
  const std::string_view wanted = rest.empty() ? unit : rest;
  const auto* found = std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& each) { return each.name == wanted; });
  if (found == kUnits.end())
    return Error{EINVAL, fmt::format("'{}' is not a time; units are ns, us, ms, s and m", text)};
  const double ns = *value * found->ns;
  if (ns > 1e18) return Error{ERANGE, fmt::format("'{}' is more than thirty years", text)};
  return uint64_t(std::llround(ns));
}

Result<double> parse_probability(std::string_view text) {
  std::string_view rest = text;
  const auto number = take_number(rest, "0123456789.eE+-");
  const bool percent = rest == "%";
  const double value = number.value_or(-1) / (percent ? 100 : 1);
  if (!(rest.empty() || percent) || !(value >= 0 && value <= 1)) {
    return Error{EINVAL, fmt::format("'{}' is not a probability from 0 to 1", text)};
  }
  return value;
}

std::string scaled(double value) {
  constexpr std::string_view kSuffixes = " KMGT";
  size_t at = 0;
  while (value >= 1000 && at + 1 < kSuffixes.size()) {
    value /= 1000;
    at++;
  }
  return at == 0 ? fmt::format("{:.3f} ", value) : fmt::format("{:.3f} {}", value, kSuffixes[at]);
}

std::function<Result<void>(const char*)> set_count(uint64_t& field) {
  return [&field](const char* text) -> Result<void> {
    auto value = parse_scaled(text);
    if (!value) return value.error();
    if (*value > 9e18) return Error{ERANGE, fmt::format("'{}' is too many", text)};
    field = uint64_t(std::llround(*value));
    return {};
  };
}

}  // namespace unetmap::parts
