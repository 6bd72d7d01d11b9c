// SPDX-License-Identifier: BSD-2-Clause
// Numbers with units, as people write them in options and read them in reports.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hh"

namespace unetmap::parts {

// Takes the decimal number that `text` begins with away, as long as it has these characters; no value where there is none, or it is
// too large. Not std::from_chars, which knows no double in the library of FreeBSD.
std::optional<double> take_number(std::string_view& text, const char* characters = "0123456789.");
// Digits only, within the limits.
Result<uint64_t> parse_whole(std::string_view text, uint64_t low = 0,
                             uint64_t high = std::numeric_limits<uint64_t>::max());
// A decimal number, which may have a suffix K, M, G or T (powers of 1000), then one of `units` (each may be left out):
// "1.5M", "10Gbps".
Result<double> parse_scaled(std::string_view text, std::initializer_list<std::string_view> units = {});
// Nanoseconds from a number with the unit ns, us, ms, s or m (minutes); `unit` where none is written.
Result<uint64_t> parse_time_ns(std::string_view text, std::string_view unit);
// A number from 0 to 1; "5%" too.
Result<double> parse_probability(std::string_view text);

// "1.234 M" for 1234000; to be followed by a unit.
std::string scaled(double value);

// A row's store for a field of any whole type.
template <class T>
std::function<Result<void>(const char*)> set_whole(T& field, uint64_t low = 0,
                                                   uint64_t high = std::numeric_limits<T>::max()) {
  return [&field, low, high](const char* text) -> Result<void> {
    auto value = parse_whole(text, low, high);
    if (!value) return value.error();
    field = T(*value);
    return {};
  };
}
// For what is counted: "10M" is ten million.
std::function<Result<void>(const char*)> set_count(uint64_t& field);

}  // namespace unetmap::parts
