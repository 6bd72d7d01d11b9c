// SPDX-License-Identifier: BSD-2-Clause
// What main() does, compiled in one go with the rest of the program: main.cc alone would cost the same headers again.
#pragma once

namespace unetmap::cli {

int unetmap_main(int argc, char** argv);

}  // namespace unetmap::cli
