// SPDX-License-Identifier: BSD-2-Clause
#include "program.hh"

int main(int argc, char** argv) { return unetmap::cli::unetmap_main(argc, argv); }
