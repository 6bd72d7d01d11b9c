// SPDX-License-Identifier: BSD-2-Clause
#include "json_report.hh"

#include <mutex>
#include <string_view>

#include "base/output.hh"

namespace unetmap::parts {
namespace {

std::mutex mutex;  // of the first: threads may fail
std::string first_failure;
bool printed = false;

}  // namespace

int fail(const std::string& program, const std::string& text) {
  print_err("{}: {}\n", program, text);
  std::lock_guard hold(mutex);
  if (first_failure.empty()) first_failure = text;
  return 1;
}

const std::string& failure() { return first_failure; }

std::string json_line(const std::string& program, const Json& body) {
  Json out{{"program", program}, {"version", UNETMAP_VERSION}, {"error", nullptr}};
  if (!first_failure.empty()) out["error"] = first_failure;
  for (const auto& [name, value] : body.items()) out[name] = value;
  // Names of ports come from programs, and need not be text.
  return json_text(out) + "\n";
}

void print_json(const std::string& program, const Json& body) {
  write_text(stdout, json_line(program, body));
  printed = true;
}

int ended(const std::string& program, int status, bool json) {
  if (json && status != 0 && !printed) print_json(program, Json::object());
  return status;
}

bool json_wanted(int argc, const char* const* argv) {
  for (int i = 1; i < argc; i++) {
    if (std::string_view(argv[i]) == "--") return false;
    if (std::string_view(argv[i]) == "--json") return true;
  }
  return false;
}

}  // namespace unetmap::parts
