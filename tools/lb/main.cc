// SPDX-License-Identifier: BSD-2-Clause
#include "program.hh"

int main(int argc, char** argv) { return unetmap::lb::lb_main(argc, argv); }
