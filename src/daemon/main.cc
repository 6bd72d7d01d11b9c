// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/program.hh"

int main(int argc, char** argv) { return unetmap::daemon::unetmapd_main(argc, argv); }
