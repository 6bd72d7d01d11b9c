// SPDX-License-Identifier: BSD-2-Clause
#include "options.hh"

#include <fmt/core.h>

#include <map>

#include "parts/quantities.hh"

namespace unetmap::lb {
namespace {

constexpr uint32_t kMaxPipes = 1024, kMaxSeconds = 86400;

// "NAME:NUMBER" or "NUMBER". A name may have a switch's ':' in it.
Result<GroupSpec> parse_group(const std::string& text) {
  GroupSpec out;
  const size_t colon = text.rfind(':');
  if (colon != std::string::npos) out.name = text.substr(0, colon);
  auto number = parts::parse_whole(colon == std::string::npos ? text : text.substr(colon + 1), 1, kMaxPipes);
  if (!number || (colon != std::string::npos && out.name.empty())) {
    return Error{EINVAL, fmt::format("'{}' is not a number of pipes, or NAME:NUMBER", text)};
  }
  out.pipes = uint32_t(*number);
  return out;
}

}  // namespace

parts::OptionTable option_table(Options& o) {
  using namespace parts;
  return OptionTable(
      "lb", "Deals the packets of a port out to pipes; packets of one connection go to one pipe.", "",
      {{'i', nullptr, "PORT", "the input port", set_text(o.input)},
       {'p', nullptr, "[NAME:]NUMBER", "a group of so many pipes, which gets all packets; again for more (default 2)",
        [&o](const char* text) -> Result<void> {
          auto group = parse_group(text);
          if (!group) return group.error();
          o.groups.push_back(*group);
          return {};
        }},
       {'B', nullptr, "BUFFERS", "extra buffers for packets of pipes that are full (default 0)",
        set_whole(o.extra_buffers, 0, 1 << 24)},
       {'b', nullptr, "PACKETS", "at most that many between two looks at the input (default 2048)",
        set_whole(o.batch, 1, 1 << 20)},
       {'w', nullptr, "SECONDS", "wait for links first (default 2 where an interface takes part, else 0)",
        set_whole(o.wait_link_s, 0, kMaxSeconds)},
       {'W', nullptr, nullptr, "never sleep: uses a whole processor", set_flag(o.busy_wait)},
       {'s', nullptr, "SECONDS", "statistics to syslog every so often (default 0, never)",
        set_whole(o.syslog_interval_s, 0, kMaxSeconds)},
       {'o', nullptr, "SECONDS", "statistics as JSON to standard output every so often (default 0, never)",
        set_whole(o.stdout_interval_s, 0, kMaxSeconds)},
       {0, "json", nullptr, "print the summary as JSON", set_flag(o.json)}});
}

std::string base_name(const std::string& port) {
  const std::string name = port.starts_with("netmap:") ? port.substr(7) : port;
  return name.substr(0, name.find_first_of("-*^{}/@"));
}

std::string pipe_name(const GroupSpec& group, uint32_t number, char end) {
  return fmt::format("{}{}{}{}", group.name.starts_with("vale") ? "" : "netmap:", group.name, end,
                     group.first + number);
}

Result<void> complete(Options& o) {
  if (o.input.empty()) return Error{EINVAL, "no input port: name one with -i"};
  if (!o.input.starts_with("netmap:") && !o.input.starts_with("vale")) o.input = "netmap:" + o.input;
  if (o.groups.empty()) o.groups.push_back({});
  std::map<std::string, uint32_t> next;
  for (GroupSpec& group : o.groups) {
    if (group.name.empty()) group.name = base_name(o.input);
    group.first = next[group.name];
    next[group.name] += group.pipes;
    if (next[group.name] > kMaxPipes)
      return Error{EINVAL, fmt::format("more than {} pipes of {}", kMaxPipes, group.name)};
  }
  return {};
}

}  // namespace unetmap::lb
