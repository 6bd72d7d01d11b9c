// SPDX-License-Identifier: BSD-2-Clause
#include "program.hh"

int main(int argc, char** argv) { return bridge::bridge_main(argc, argv); }
