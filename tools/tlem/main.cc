// SPDX-License-Identifier: BSD-2-Clause
// tlem: emulates a link between two netmap ports.
#include <fmt/core.h>
#include <libnetmap.h>

#include "base/output.hh"
#include "parts/json_report.hh"
#include "parts/stop.hh"
#include "run.hh"

int main(int argc, char** argv) {
  using namespace unetmap;
  check_output_at_exit("tlem");
  tlem::Options options;
  parts::OptionTable table = tlem::option_table(options);
  int status = 0;
  auto words = table.run(argc, argv, &status);
  if (!words) return status;
  if (!words->empty()) return table.usage_error("it takes no words: " + words->front());
  if (auto right = tlem::complete(options); !right) return table.usage_error(right.error().text);
  nmctx_get()->error = [](nmctx*, const char* message) { parts::fail("tlem", message); };
  parts::stop_on_signals();
  return parts::carried_out("tlem", options.json, [&] { return tlem::run(options); });
}
