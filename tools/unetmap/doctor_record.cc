// SPDX-License-Identifier: BSD-2-Clause
#include "doctor_record.hh"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/fd.hh"
#include "base/json.hh"

namespace unetmap::cli {
namespace {

using Words = std::vector<std::string>;

// An entry is the fix with what was before: {"kind", "interface", "index", "namespace", "was", "set"}.

// Which network namespace this is: interfaces of others may have the same names.
std::string network_namespace() {
  struct stat info {};
  if (stat("/proc/self/ns/net", &info) != 0) return "";
  return fmt::format("{}:{}", info.st_dev, info.st_ino);
}

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return Error{EIO, path + ": cannot be read"};
  return line;
}

Result<void> write_file(const std::string& path, const std::string& text) {
  UniqueFd file(open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
  if (!file) return Error::from_errno(errno, path);
  if (write(file.get(), text.data(), text.size()) != ssize_t(text.size())) return Error::from_errno(errno, path);
  return {};
}

// The word in brackets, where a file shows all choices.
std::string current_choice(const std::string& line) {
  const size_t from = line.find('['), to = line.find(']');
  return from != std::string::npos && to != std::string::npos && from < to ? line.substr(from + 1, to - from - 1)
                                                                           : line;
}

// A record could have been written by anybody who may write its folder: nothing but what we fix is ever put back.
bool is_ours(const std::string& path, const std::string& root) {
  if (!path.starts_with(root)) return false;
  const std::string rest = path.substr(root.size());
  if (rest.find("..") != std::string::npos) return false;
  return rest == "/sys/kernel/mm/transparent_hugepage/shmem_enabled" ||
         (rest.starts_with("/sys/devices/system/cpu/cpu") && rest.ends_with("/cpufreq/scaling_governor"));
}

Json to_json(const FlowControl& f) { return {{"autoneg", f.autonegotiated}, {"rx", f.rx}, {"tx", f.tx}}; }
FlowControl flow_control_from(const Json& json) {
  return {json.at("autoneg").get<bool>(), json.at("rx").get<bool>(), json.at("tx").get<bool>()};
}

struct Interface {
  Ethtool ethtool;
  uint32_t index;
};
Result<Interface> open_interface(const std::string& name) {
  auto ethtool = Ethtool::open(name);
  if (!ethtool) return ethtool.error();
  auto link = query_link(name);
  if (!link) return link.error();
  return Interface{std::move(*ethtool), link->index};
}

// The entry for a fix, made from what is now.
Result<Json> entry_for(const Fix& fix) {
  if (const auto* file = std::get_if<WriteFile>(&fix)) {
    auto now = read_file(file->file);
    if (!now) return now.error();
    return Json{{"kind", "file"}, {"file", file->file}, {"was", current_choice(*now)}, {"set", file->wanted}};
  }
  const auto* pause = std::get_if<SetFlowControl>(&fix);
  const auto* features = std::get_if<SetFeatures>(&fix);
  const std::string& name = pause ? pause->interface : features->interface;
  auto interface = open_interface(name);
  if (!interface) return interface.error();
  Json out{{"kind", pause ? "flow-control" : "offloads"},
           {"interface", name},
           {"index", interface->index},
           {"namespace", network_namespace()}};
  if (pause) {
    auto now = interface->ethtool.flow_control();
    if (!now) return Error{EOPNOTSUPP, name + ": has no flow control"};
    out["was"] = to_json(*now);
    out["set"] = to_json(pause->wanted);
  } else {
    out["was"] = Json::object();
    out["set"] = features->wanted;
    for (const auto& [feature, now] : interface->ethtool.features()) {
      if (features->wanted.contains(feature)) out["was"][feature] = now.wanted;
    }
  }
  return out;
}

// Sets what `which` of the entry says: "set" or "was".
Result<void> put(const Json& entry, const char* which, const std::string& root) {
  const Json& value = entry.at(which);
  if (entry.at("kind") == "file") {
    const std::string file = entry.at("file");
    if (!is_ours(file, root)) return Error{EINVAL, file + ": not a file that is fixed here"};
    return write_file(file, value.get<std::string>());
  }
  auto interface = open_interface(entry.at("interface"));
  if (!interface) return interface.error();
  if (entry.at("kind") == "flow-control") return interface->ethtool.set_flow_control(flow_control_from(value));
  return interface->ethtool.set_features(value.get<std::map<std::string, bool>>());
}

std::string sentence(const Json& entry) {
  if (entry.at("kind") == "file")
    return fmt::format("{}: {}", entry.at("file").get<std::string>(), entry.at("set").get<std::string>());
  return fmt::format("{}: {} off", entry.at("interface").get<std::string>(), entry.at("kind").get<std::string>());
}

// Why the entry is not to be undone; empty: it is.
std::string obstacle(const Json& entry) {
  if (entry.at("kind") == "file") {
    auto now = read_file(entry.at("file"));
    if (!now) return now.error().text;
    return current_choice(*now) == entry.at("set").get<std::string>() ? "" : "changed by somebody since";
  }
  auto interface = open_interface(entry.at("interface"));
  if (!interface) return interface.error().text;
  if (interface->index != entry.at("index").get<uint32_t>()) return "another interface has that name now";
  if (entry.at("kind") == "flow-control") {
    return interface->ethtool.flow_control() == flow_control_from(entry.at("set")) ? "" : "changed by somebody since";
  }
  const Features now = interface->ethtool.features();
  for (const auto& [name, on] : entry.at("set").items()) {
    const auto found = now.find(name);
    if (found == now.end() || found->second.wanted != on.get<bool>())
      return fmt::format("{} changed by somebody since", name);
  }
  return "";
}

Result<Json> read_record(const std::string& path) {
  std::ifstream file(path);
  if (!file) return Json::array();
  Json record = parse_json(std::string(std::istreambuf_iterator<char>(file), {}));
  if (!record.is_array())
    return Error{EINVAL, fmt::format("{}: not a record of 'unetmap doctor --fix'; remove it", path)};
  return record;
}

// All or nothing, also when the machine stops.
Result<void> write_record(const std::string& path, const Json& record) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  const std::string fresh = path + ".new";
  unlink(fresh.c_str());
  {
    UniqueFd file(open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    const std::string text = json_text(record, 2) + "\n";
    if (!file || write(file.get(), text.data(), text.size()) != ssize_t(text.size()) || fsync(file.get()) < 0) {
      return Error{errno ? errno : EIO,
                   fmt::format("{}: {}; without a record nothing is changed; name another with --record", fresh,
                               strerror(errno))};
    }
  }
  if (rename(fresh.c_str(), path.c_str()) < 0) return Error::from_errno(errno, path);
  return {};
}

}  // namespace

std::string FixRecord::default_file() {
  if (geteuid() == 0) return "/run/unetmap-doctor.json";
  const char* runtime = getenv("XDG_RUNTIME_DIR");
  if (runtime && *runtime) return fmt::format("{}/unetmap-doctor.json", runtime);
  const char* home = getenv("HOME");
  return fmt::format("{}/.unetmap-doctor.json", home ? home : "");
}

Result<FixRecord::Outcome> FixRecord::apply(const std::vector<Fix>& fixes) {
  auto record = read_record(file_);
  if (!record) return record.error();
  Outcome out;
  for (const Fix& fix : fixes) {
    auto entry = entry_for(fix);
    if (!entry) {
      out.failed.push_back(entry.error().text);
      continue;
    }
    record->push_back(*entry);
    if (auto written = write_record(file_, *record); !written) return written.error();
    auto changed = put(*entry, "set", root_);
    if (changed) {
      out.done.push_back(sentence(*entry));
      continue;
    }
    const int code = changed.error().code;
    out.failed.push_back(changed.error().text + (code == EPERM || code == EACCES ? "; run it as root" : ""));
    record->erase(record->size() - 1);
    if (auto written = write_record(file_, *record); !written) return written.error();
  }
  return out;
}

Result<Words> FixRecord::undo() {
  auto record = read_record(file_);
  if (!record) return record.error();
  Words done;
  Json left = Json::array();
  try {
    for (auto entry = record->rbegin(); entry != record->rend(); ++entry) {
      if (entry->contains("namespace") && entry->at("namespace") != network_namespace()) {
        left.insert(left.begin(), *entry);  // for an undo over there
        continue;
      }
      const std::string why = obstacle(*entry);
      if (!why.empty()) {
        done.push_back(fmt::format("left alone: {} ({})", sentence(*entry), why));
        continue;
      }
      if (auto back = put(*entry, "was", root_); !back) return back.error();
      done.push_back("taken back: " + sentence(*entry));
    }
  } catch (const Json::exception& error) {
    return Error{EINVAL,
                 fmt::format("{}: not a record of 'unetmap doctor --fix' ({}); remove it", file_, error.what())};
  }
  if (left.empty()) {
    unlink(file_.c_str());
  } else if (auto written = write_record(file_, left); !written) {
    return written.error();
  }
  return done;
}

}  // namespace unetmap::cli
