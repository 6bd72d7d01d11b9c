// SPDX-License-Identifier: BSD-2-Clause
#include "wire/driven_devices.hh"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace unetmap::wire {
namespace {

namespace fs = std::filesystem;

constexpr uint16_t kIvshmemVendor = 0x1af4, kIvshmemDevice = 0x1110;
constexpr size_t kMostDigits = 3;

uint16_t number_in(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return uint16_t(strtoul(line.c_str(), nullptr, 16));
}

}  // namespace

std::optional<uint32_t> passed_number(std::string_view name) {
  constexpr std::string_view kPrefix = "ptnet";
  if (!name.starts_with(kPrefix)) return {};
  name.remove_prefix(kPrefix.size());
  if (name.empty() || name.size() > kMostDigits || (name.size() > 1 && name[0] == '0')) return {};
  uint32_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size()) return {};
  return number;
}

std::vector<std::string> passed_functions(const std::string& root) {
  std::vector<std::string> out;
  std::error_code none;
  // Without a doorbell there is no second BAR, that of its MSI-X table.
  for (const auto& entry : fs::directory_iterator(root + "/sys/bus/pci/devices", none))
    if (number_in(entry.path() / "vendor") == kIvshmemVendor && number_in(entry.path() / "device") == kIvshmemDevice &&
        fs::exists(entry.path() / "resource1", none))
      out.push_back(entry.path().filename().string());
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace unetmap::wire
