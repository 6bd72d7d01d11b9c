// SPDX-License-Identifier: BSD-2-Clause
// What CLI11 calls a command line, without its header, which takes seconds to compile.
#pragma once

namespace CLI {  // NOLINT(readability-identifier-naming): theirs
class App;
}
