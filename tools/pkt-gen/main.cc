// SPDX-License-Identifier: BSD-2-Clause
#include <cstdio>

#include "log.hh"
#include "options.hh"
#include "run.hh"

int main(int argc, char** argv) {
  using namespace unetmap::pktgen;
  if (argc < 2) {
    fputs(usage_text().c_str(), stderr);
    return 2;
  }
  unetmap::Result<Options> options = parse_options(argc, argv);
  if (!options) {
    say(options.error().text + "; see pkt-gen -h");
    return 2;
  }
  if (options->help) {
    fputs(usage_text().c_str(), stdout);
    return 0;
  }
  if (options->version) {
    puts("pkt-gen of unetmap " UNETMAP_VERSION);
    return 0;
  }
  return run(*options);
}
