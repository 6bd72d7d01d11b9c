// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/question/changes.hh"

#include <fmt/core.h>

#include <optional>

#include "base/json.hh"
#include "daemon/process/log.hh"
#include "daemon/question/question.hh"
#include "daemon/setting/apply.hh"
#include "daemon/setting/names.hh"
#include "daemon/switch/settings.hh"

namespace unetmap::daemon {

Result<void> Changes::set(const std::string& text) {
  auto wanted = parse_question(text);
  if (!wanted) return wanted.error();
  if (wanted->contains("switch")) {
    auto done = pins_.set(*wanted);
    if (done) attachments_.refresh_shortcuts();
    return done;
  }
  const std::string asked = text_of(*wanted, "port");
  std::string name = named_port(ports_, *wanted);
  // What is left of that name without its host side is another port.
  if (const std::string given = text_of(*wanted, "given");
      given.starts_with("vale") && given.ends_with('^') && name.find('^') == std::string::npos)
    if (auto possible = switch_port_name(given); !possible) return possible;
  std::optional<bool> keep;
  if (auto found = wanted->find("keep"); found != wanted->end()) {
    if (!found->is_boolean()) return Error{EINVAL, asked + ": keep: is neither true nor false"};
    keep = found->get<bool>();
  }
  for (const char* key : {"port", "given", "netns", "keep"}) wanted->erase(key);
  if (auto mode = wanted->find("nic_mode"); mode != wanted->end()) {
    if (wanted->size() > 1 || keep)
      return Error{EINVAL, asked + ": nic_mode: is set by itself, and until the daemon ends"};
    return nics_.set_mode(name, *mode);
  }
  Port* found = ports_.find(name);
  if (!found) return awaited_.await(asked, *wanted, keep);
  Port& port = *found;
  if (port.info.exchange_stride == 0 || port.kind() == wire::PortKind::kMonitor)
    return Error{EINVAL, name + ": only ports of a switch can be lossless or fenced; name one"};
  auto settings = parse_named_settings(name, *wanted, port.record()->settings());
  if (!settings) return settings.error();
  if (settings->zero_copy != port.record()->settings().zero_copy)
    return Error{EBUSY, fmt::format("{}: zero_copy: is there already, in memory that it keeps{}", name,
                                    port.plug || port.nic || port.attached
                                        ? "; it is for ports that programs open"
                                        : "; close it, and set this before it is opened again")};
  if (auto kept = awaited_.keep(name, kept_settings_json(*settings), keep); !kept) return kept;
  if (auto done = apply_settings(*settings, port, pins_, files_); !done) return done;
  // Whoever names a persistent port means the host stack behind it, too.
  if (Port* stack = attachments_.stack_side(port))
    if (auto done = apply_settings(*settings, *stack, pins_, files_); !done) return done;
  attachments_.refresh_shortcuts();
  return {};
}

void Changes::note_made(Port& port) {
  port.sw->note_mirrors_to(port.info.index, true);
  if (auto waited = awaited_.take(port.name)) {
    waited->wanted["port"] = port.name;
    if (auto done = set(json_text(waited->wanted)); !done) log(std::string(waited->why) + ": " + done.error().text);
  }
  pins_.note_made(port);
}

}  // namespace unetmap::daemon
