// SPDX-License-Identifier: BSD-2-Clause
// lb: balances the packets of a port over netmap pipes.
#include <fmt/core.h>
#include <libnetmap.h>

#include "base/output.hh"
#include "parts/json_report.hh"
#include "parts/stop.hh"
#include "run.hh"

int main(int argc, char** argv) {
  using namespace unetmap;
  check_output_at_exit("lb");
  lb::Options options;
  parts::OptionTable table = lb::option_table(options);
  int status = 0;
  auto words = table.run(argc, argv, &status);
  if (!words) return status;
  if (!words->empty()) return table.usage_error("it takes no words: " + words->front());
  if (auto right = lb::complete(options); !right) return table.usage_error(right.error().text);
  nmctx_get()->error = [](nmctx*, const char* message) { parts::fail("lb", message); };
  parts::stop_on_signals();
  return parts::carried_out("lb", options.json, [&] { return lb::run(options); });
}
