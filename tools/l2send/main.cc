// SPDX-License-Identifier: BSD-2-Clause
#include "program.hh"

int main(int argc, char** argv) { return unetmap::l2::l2send_main(argc, argv); }
