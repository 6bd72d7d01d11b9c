// SPDX-License-Identifier: BSD-2-Clause
#include "program.hh"

int main(int argc, char** argv) { return valectl::vale_ctl_main(argc, argv); }
