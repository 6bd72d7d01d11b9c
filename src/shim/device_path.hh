// SPDX-License-Identifier: BSD-2-Clause
// Which of a program's path names are netmap's: the device, and the module's parameters.
#pragma once

#include <cstdint>
#include <string_view>

namespace unetmap::shim {

enum class PathKind { kOther, kDevice, kParameter, kParameterDirectory };

struct DevicePath {
  PathKind kind = PathKind::kOther;
  std::string_view parameter;  // name of the parameter; points into the path
};

namespace detail {

// Takes `component` and the slashes before it off the front of `path`. Several slashes count as one.
inline bool take(std::string_view& path, std::string_view component) {
  size_t at = path.find_first_not_of('/');
  if (at == 0 || at == std::string_view::npos) return false;
  if (path.substr(at, component.size()) != component) return false;
  std::string_view rest = path.substr(at + component.size());
  if (!rest.empty() && rest[0] != '/') return false;
  path = rest;
  return true;
}

}  // namespace detail

// Absolute names only, as programs write them; links and ".." are not followed.
inline DevicePath classify_path(const char* name) {
  // Addresses that no program has memory at are the kernel's to refuse.
  constexpr uintptr_t kLowest = 4096, kEnd = uintptr_t{1} << (sizeof(uintptr_t) * 8 - 1);
  if (reinterpret_cast<uintptr_t>(name) < kLowest || reinterpret_cast<uintptr_t>(name) >= kEnd) return {};
  // Nearly every path that a program opens ends here.
  if (name[0] != '/') return {};
  std::string_view path(name);
  if (detail::take(path, "dev")) {
    if (detail::take(path, "netmap") && path.empty()) return {PathKind::kDevice, {}};
    return {};
  }
  if (!detail::take(path, "sys") || !detail::take(path, "module") || !detail::take(path, "netmap")) return {};
  size_t more = path.find_first_not_of('/');
  if (more == std::string_view::npos) return {PathKind::kParameterDirectory, {}};
  if (!detail::take(path, "parameters")) return {};
  size_t at = path.find_first_not_of('/');
  if (at == std::string_view::npos) return {PathKind::kParameterDirectory, {}};
  std::string_view parameter = path.substr(at);
  if (parameter.find('/') != std::string_view::npos) return {};
  return {PathKind::kParameter, parameter};
}

}  // namespace unetmap::shim
