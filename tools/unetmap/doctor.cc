// SPDX-License-Identifier: BSD-2-Clause
#include "doctor.hh"

#include <fmt/core.h>

#include <algorithm>

#include "answers.hh"
#include "base/fold.hh"
#include "base/output.hh"
#include "doctor_record.hh"
#include "parts/json_report.hh"

namespace unetmap::cli {
namespace {

Result<std::vector<Check>> examine(const std::string& interface) {
  std::vector<Check> out;
  const MachineFacts machine = look_at_machine();
  // A passed-through port has no interface but while it is open, and a check of its own with those of the machine.
  const bool passed = std::any_of(machine.passed.begin(), machine.passed.end(),
                                  [&](const PassedFacts& facts) { return facts.name == interface; });
  if (!interface.empty() && !passed) {
    auto facts = look_at_interface(interface);
    if (!facts) return facts.error();
    out = check_interface(*facts);
  }
  // Of all interfaces at once what takes no question to each.
  if (interface.empty())
    for (const InterfaceFacts& facts : look_at_devices()) out.push_back(check_driver_mode(facts));
  for (Check& check : check_machine(machine)) out.push_back(std::move(check));
  return out;
}

size_t count_of(const std::vector<Check>& checks, State state) {
  return size_t(std::count_if(checks.begin(), checks.end(), [&](const Check& check) { return check.state == state; }));
}

int undo(const DoctorOptions& options, FixRecord record) {
  auto done = record.undo();
  if (!done) return fail(done.error().text);
  if (options.json) {
    parts::print_json("unetmap", {{"undone", *done}});
    return kOk;
  }
  for (const std::string& line : *done) print_out("{}\n", line);
  if (done->empty()) print_out("nothing to take back\n");
  return kOk;
}

}  // namespace

namespace {

constexpr size_t kTextColumn = 25;

// A paragraph at that column, with `head` before its first line.
std::string paragraph(std::string head, const std::string& text) {
  std::string out = fold(std::string(kTextColumn, ' ') + text + "\n");
  head.resize(kTextColumn, ' ');
  return out.replace(0, kTextColumn, head);
}

}  // namespace

std::string checks_table(const std::vector<Check>& checks) {
  std::string out, object;
  for (const Check& check : checks) {
    if (check.object != object) out += (object = check.object) + "\n";
    out += paragraph(fmt::format("  {:<5} {:<16} ", name_of(check.state), check.name), check.found);
    if (!check.meaning.empty()) out += paragraph("", check.meaning);
    // In one line, whatever its length: it is to be copied to a shell.
    if (!check.remedy.empty())
      out += fmt::format("{:23}> {}{}\n", "", check.remedy, check.fixes.empty() ? "" : "   (or --fix)");
  }
  return out;
}

Json checks_json(const std::vector<Check>& checks) {
  Json list = Json::array();
  for (const Check& check : checks) {
    list.push_back({{"object", check.object},
                    {"check", check.name},
                    {"state", name_of(check.state)},
                    {"found", check.found},
                    {"meaning", check.meaning},
                    {"remedy", check.remedy},
                    {"fixable", !check.fixes.empty()}});
  }
  return {{"checks", list}, {"failed", count_of(checks, State::kFail)}, {"warnings", count_of(checks, State::kWarn)}};
}

int doctor(const DoctorOptions& options) {
  FixRecord record(options.record.empty() ? FixRecord::default_file() : options.record);
  if (options.undo) return undo(options, record);
  auto checks = examine(options.interface);
  if (!checks) return fail(checks.error().text);
  FixRecord::Outcome fixed;
  if (options.fix) {
    std::vector<Fix> fixes;
    for (const Check& check : *checks) fixes.insert(fixes.end(), check.fixes.begin(), check.fixes.end());
    auto done = record.apply(fixes);
    if (!done) return fail(done.error().text);
    fixed = *done;
    checks = examine(options.interface);
    if (!checks) return fail(checks.error().text);
  }
  for (const std::string& line : fixed.failed) print_err("unetmap: not fixed: {}\n", line);
  if (options.json) {
    Json json = checks_json(*checks);
    if (options.fix) json["fixed"] = fixed.done;
    parts::print_json("unetmap", json);
  } else {
    for (const std::string& line : fixed.done) print_out("fixed: {}\n", line);
    print_out("{}", checks_table(*checks));
  }
  return count_of(*checks, State::kFail) || !fixed.failed.empty() ? kFailed : kOk;
}

}  // namespace unetmap::cli
