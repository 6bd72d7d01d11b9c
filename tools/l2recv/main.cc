// SPDX-License-Identifier: BSD-2-Clause
#include "program.hh"

int main(int argc, char** argv) { return unetmap::l2::l2recv_main(argc, argv); }
