// SPDX-License-Identifier: BSD-2-Clause
// Standard output and standard error of the programs here: a stream that cannot be written never throws, and what did
// not reach standard output is told when the program ends, with its status.
#pragma once

#include <fmt/core.h>

#include <cstdio>
#include <string>
#include <utility>

namespace unetmap {

// Call once, at the beginning of main(): if what was printed could not be written in full (a full disk, /dev/full), the
// program says so when it ends, and its status is 1. So it does where memory or threads run out and nobody deals with
// that.
void check_output_at_exit(const char* program);

// Why there is no memory, and what to do: of a program that has a limit (ulimit -v, -d) its name.
std::string no_memory_text();
// Likewise, that one could not begin so many threads.
std::string no_thread_text(int code);

// False, once and for all, when standard output cannot be written: for programs that would print for ever.
bool output_works();

inline void write_text(FILE* to, const std::string& text) { fwrite(text.data(), 1, text.size(), to); }

template <class... T>
void print_out(fmt::format_string<T...> format, T&&... values) {
  write_text(stdout, fmt::format(format, std::forward<T>(values)...));
}
template <class... T>
void print_err(fmt::format_string<T...> format, T&&... values) {
  write_text(stderr, fmt::format(format, std::forward<T>(values)...));
}

}  // namespace unetmap
