// SPDX-License-Identifier: BSD-2-Clause
#include "program.hh"

int main(int argc, char** argv) { return unetmap::l2::l2open_main(argc, argv); }
