// SPDX-License-Identifier: BSD-2-Clause
#include "keeper/program.hh"

int main(int argc, char** argv) { return unetmap::keeper::keeper_main(argc, argv); }
