// SPDX-License-Identifier: BSD-2-Clause
// A language for what can be done to an e1000, and whoever it can be done to. A script is run on two targets; what each
// line gives is compared.
//
//   write REGISTER VALUE        read REGISTER [MASK]       numbers as in C; registers by their offset or the manual's
//   name put ADDRESS HEX             get ADDRESS BYTES          guest memory frame HEX                   comes in from
//   the wire     sent: the frames that went out since pass NANOSECONDS            line: the level of INTA#   # a
//   comment
#pragma once

#include <cstdint>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace oracle {

using Bytes = std::vector<uint8_t>;

inline constexpr uint64_t kBetween_ns = 200'000;  // that pass by themselves after a write or a frame

class Target {
 public:
  virtual ~Target() = default;
  virtual void write(uint32_t offset, uint32_t value) = 0;
  virtual uint32_t read(uint32_t offset) = 0;
  virtual void put(uint64_t address, const Bytes& bytes) = 0;
  virtual Bytes get(uint64_t address, size_t bytes) = 0;
  virtual void frame(const Bytes& bytes) = 0;
  virtual std::vector<Bytes> sent() = 0;
  virtual void pass(uint64_t ns) = 0;
  virtual bool line() = 0;
};

inline std::string hex(const Bytes& bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const uint8_t byte : bytes) {
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}
inline Bytes unhex(const std::string& text) {
  Bytes out;
  for (size_t i = 0; i + 1 < text.size(); i += 2) out.push_back(uint8_t(std::stoul(text.substr(i, 2), nullptr, 16)));
  return out;
}

inline uint32_t register_of(const std::string& word) {
  static const std::map<std::string, uint32_t> kNames{
      {"CTRL", 0x0},       {"STATUS", 0x8},     {"EECD", 0x10},     {"EERD", 0x14},      {"MDIC", 0x20},
      {"VET", 0x38},       {"ICR", 0xc0},       {"ITR", 0xc4},      {"ICS", 0xc8},       {"IMS", 0xd0},
      {"IMC", 0xd8},       {"RCTL", 0x100},     {"TCTL", 0x400},    {"PBA", 0x1000},     {"RDBAL", 0x2800},
      {"RDBAH", 0x2804},   {"RDLEN", 0x2808},   {"RDH", 0x2810},    {"RDT", 0x2818},     {"RDTR", 0x2820},
      {"RADV", 0x282c},    {"TDBAL", 0x3800},   {"TDBAH", 0x3804},  {"TDLEN", 0x3808},   {"TDH", 0x3810},
      {"TDT", 0x3818},     {"TXDCTL", 0x3828},  {"TADV", 0x382c},   {"MPC", 0x4010},     {"PRC64", 0x405c},
      {"PRC127", 0x4060},  {"PRC255", 0x4064},  {"PRC511", 0x4068}, {"PRC1023", 0x406c}, {"PRC1522", 0x4070},
      {"GPRC", 0x4074},    {"BPRC", 0x4078},    {"MPRC", 0x407c},   {"GPTC", 0x4080},    {"GORCL", 0x4088},
      {"GORCH", 0x408c},   {"GOTCL", 0x4090},   {"GOTCH", 0x4094},  {"RNBC", 0x40a0},    {"ROC", 0x40ac},
      {"TORL", 0x40c0},    {"TORH", 0x40c4},    {"TOTL", 0x40c8},   {"TOTH", 0x40cc},    {"TPR", 0x40d0},
      {"TPT", 0x40d4},     {"PTC64", 0x40d8},   {"PTC127", 0x40dc}, {"PTC255", 0x40e0},  {"PTC511", 0x40e4},
      {"PTC1023", 0x40e8}, {"PTC1522", 0x40ec}, {"MPTC", 0x40f0},   {"BPTC", 0x40f4},    {"TSCTC", 0x40f8},
      {"MTA", 0x5200},     {"RAL", 0x5400},     {"RAH", 0x5404},    {"VFTA", 0x5600},    {"WUC", 0x5800},
      {"WUFC", 0x5808}};
  const auto found = kNames.find(word);
  return found != kNames.end() ? found->second : uint32_t(std::stoul(word, nullptr, 0));
}

// What one line of a script gives; empty: nothing to compare.
inline std::string run_line(const std::string& text, Target& target) {
  std::istringstream in(text);
  std::string verb, first, second;
  in >> verb >> first >> second;
  const auto number = [](const std::string& word) { return uint64_t(std::stoull(word, nullptr, 0)); };
  if (verb.empty() || verb[0] == '#') return {};
  if (verb == "write") {
    target.write(register_of(first), uint32_t(number(second)));
  } else if (verb == "read") {
    std::ostringstream out;
    out << std::hex << (target.read(register_of(first)) & (second.empty() ? ~0u : uint32_t(number(second))));
    return out.str();
  } else if (verb == "put") {
    target.put(number(first), unhex(second));
  } else if (verb == "get") {
    return hex(target.get(number(first), number(second)));
  } else if (verb == "frame") {
    target.frame(unhex(first));
  } else if (verb == "sent") {
    std::string out;
    for (const Bytes& frame : target.sent()) out += hex(frame) + "\n";
    return out;
  } else if (verb == "pass") {
    target.pass(number(first));
  } else if (verb == "line") {
    return target.line() ? "asserted" : "not asserted";
  } else {
    return "no such verb: " + verb;
  }
  return {};
}

}  // namespace oracle
