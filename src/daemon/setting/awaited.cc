// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/setting/awaited.hh"

#include <utility>

#include "daemon/setting/names.hh"

namespace unetmap::daemon {
namespace {

constexpr size_t kMostAwaited = 1024;

}  // namespace

Result<void> AwaitedSettings::await(const std::string& name, const Json& wanted, std::optional<bool> keep) {
  if (auto named = switch_port_name(name); !named) return named;
  const auto before = kept_.contains(name) ? kept_.find(name) : awaited_.find(name);
  const bool known = kept_.contains(name) || awaited_.contains(name);
  if (!known && awaited_.size() + kept_.size() >= kMostAwaited)
    return Error{ENOSPC, name + ": settings of 1024 ports wait for them already; take some back (off)"};
  Json all = known ? before->second : Json::object();
  all.update(wanted);
  auto settings = parse_named_settings(name, all, {});
  if (!settings) return settings.error();
  const bool stays = keep.value_or(kept_.contains(name));
  awaited_.erase(name);
  kept_.erase(name);
  // What says "off" to all that a port has from the beginning needs no keeping.
  Json left = kept_settings_json(*settings);
  if (!left.empty()) (stays ? kept_ : awaited_)[name] = std::move(left);
  return {};
}

Result<void> AwaitedSettings::keep(const std::string& name, const Json& settings, std::optional<bool> keep) {
  if (!keep.value_or(kept_.contains(name)) || settings.empty()) {
    kept_.erase(name);
    return {};
  }
  if (!switch_port_name(name)) return Error{EINVAL, name + ": settings are kept for ports of switches (vale0:1) alone"};
  if (!kept_.contains(name) && awaited_.size() + kept_.size() >= kMostAwaited)
    return Error{ENOSPC, name + ": settings of 1024 ports are kept already; take some back (off)"};
  kept_[name] = settings;
  return {};
}

Json AwaitedSettings::json(const std::function<bool(const std::string&)>& there) const {
  Json out = Json::array();
  for (const auto& [name, settings] : awaited_) {
    Json entry{{"name", name}};
    entry.update(without_programs(settings));
    out.push_back(std::move(entry));
  }
  for (const auto& [name, settings] : kept_) {
    if (there(name)) continue;
    Json entry{{"name", name}, {"kept", true}};
    entry.update(without_programs(settings));
    out.push_back(std::move(entry));
  }
  return out;
}

bool AwaitedSettings::wants_zero_copy(const std::string& name) const {
  for (const auto* settings : {&awaited_, &kept_})
    if (auto found = settings->find(name); found != settings->end()) return found->second.value("zero_copy", false);
  return false;
}

std::optional<AwaitedSettings::Taken> AwaitedSettings::take(const std::string& name) {
  if (auto found = awaited_.find(name); found != awaited_.end()) {
    Json wanted = std::move(found->second);
    awaited_.erase(found);
    return Taken{std::move(wanted), "settings that waited for it"};
  }
  if (auto kept = kept_.find(name); kept != kept_.end()) return Taken{kept->second, "settings that are kept for it"};
  return std::nullopt;
}

}  // namespace unetmap::daemon
