// SPDX-License-Identifier: BSD-2-Clause
#include "worker/program.hh"

int main(int argc, char** argv) { return unetmap::worker::worker_main(argc, argv); }
