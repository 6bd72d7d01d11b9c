// SPDX-License-Identifier: BSD-2-Clause
#include "worker/e1000_parameters.hh"

#include <cctype>
#include <cstdio>
#include <cstdlib>

namespace unetmap::worker {
namespace {

constexpr uint64_t kItrUnit_ns = 256, kMaxItr_us = 65535 * kItrUnit_ns / 1000;

// FNV-1a: spreads names that differ in one letter.
std::array<uint8_t, 6> mac_of(const std::string& port) {
  uint64_t hash = 0xcbf29ce484222325;
  for (char letter : port) hash = (hash ^ uint8_t(letter)) * 0x100000001b3;
  // 02: given out locally, for one station.
  std::array<uint8_t, 6> mac{0x02};
  for (size_t i = 1; i < mac.size(); i++) mac[i] = uint8_t(hash >> (8 * i));
  return mac;
}

Result<bool> flag_parameter(const Json& parameters, const char* key, bool otherwise) {
  auto found = parameters.find(key);
  if (found == parameters.end()) return otherwise;
  if (!found->is_boolean()) return Error{EINVAL, std::string("plug: \"") + key + "\" must be true or false"};
  return found->get<bool>();
}

}  // namespace

Result<std::array<uint8_t, 6>> parse_mac(const std::string& text) {
  std::array<uint8_t, 6> mac{};
  bool good = text.size() == 17;
  for (size_t i = 0; i < text.size() && good; i++) good = i % 3 == 2 ? text[i] == ':' : isxdigit(uint8_t(text[i])) != 0;
  if (!good) return Error{EINVAL, "plug: mac " + text + ": is no hardware address such as 52:54:00:12:34:56"};
  for (size_t i = 0; i < mac.size(); i++) mac[i] = uint8_t(strtoul(text.c_str() + 3 * i, nullptr, 16));
  if ((mac[0] & 1) || mac == std::array<uint8_t, 6>{})
    return Error{EINVAL,
                 "plug: mac " + text + ": is no address of one card; its first byte must be even, and not all zero"};
  return mac;
}

std::string mac_text(const std::array<uint8_t, 6>& mac) {
  char text[18];
  snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
  return text;
}

Result<e1000::Config> e1000_parameters(const std::string& port, const Json& parameters) {
  e1000::Config config;
  config.mac = mac_of(port);
  if (parameters.contains("mac")) {
    auto text = text_parameter(parameters, "mac");
    if (!text) return text.error();
    auto mac = parse_mac(*text);
    if (!mac) return mac.error();
    config.mac = *mac;
  }
  auto paravirt = flag_parameter(parameters, "paravirt", false);
  if (!paravirt) return paravirt.error();
  auto mitigation = flag_parameter(parameters, "mitigation", true);
  if (!mitigation) return mitigation.error();
  auto itr_us = number_parameter(parameters, "itr_us", 0, kMaxItr_us);
  if (!itr_us) return itr_us.error();
  if (*itr_us > 0 && !*mitigation)
    return Error{EINVAL,
                 "plug: a least time between interrupts needs mitigation; leave --mitigation off out, or --itr"};
  config.paravirt = *paravirt;
  config.mitigation = *mitigation;
  config.least_itr = uint16_t(*itr_us * 1000 / kItrUnit_ns);
  return config;
}

}  // namespace unetmap::worker
