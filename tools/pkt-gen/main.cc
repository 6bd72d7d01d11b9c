// SPDX-License-Identifier: BSD-2-Clause
#include <cstdio>

#include "base/output.hh"
#include "options.hh"
#include "parts/json_report.hh"
#include "run.hh"

int main(int argc, char** argv) {
  using namespace unetmap::pktgen;
  unetmap::check_output_at_exit("pkt-gen");
  if (argc == 1) {  // as the experiments text has it
    fputs(usage_text().c_str(), stderr);
    return 2;
  }
  unetmap::Result<Options> options = parse_options(argc, argv);
  if (!options) {
    unetmap::parts::fail("pkt-gen", options.error().text + "; see pkt-gen -h");
    return unetmap::parts::ended("pkt-gen", 2, unetmap::parts::json_wanted(argc, argv));
  }
  if (options->help) {
    fputs(usage_text().c_str(), stdout);
    return 0;
  }
  if (options->version) {
    puts("pkt-gen of unetmap " UNETMAP_VERSION);
    return 0;
  }
  // It prints its JSON itself, also where it fails.
  return unetmap::parts::unless_exhausted("pkt-gen", options->json, [&] { return run(*options); });
}
