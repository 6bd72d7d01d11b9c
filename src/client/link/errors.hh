// SPDX-License-Identifier: BSD-2-Clause
// What went wrong, in words.
#pragma once

#include <string>

namespace unetmap::client {

// Every failure of open_device, control and map is reported here as one sentence naming object, cause and remedy;
// printed on stderr when UNETMAP_LOG=1 (as `unetmap run` sets it), always available to unetmap_last_error().
void report_error(const char* text) noexcept;
// Likewise, of a call that ends with -1 and `code` in errno.
int fail(int code, const std::string& text);
// For what may fail without anything being wrong, such as a question whether there is something: unetmap_last_error()
// knows it, nobody prints it.
void note_error(const char* text) noexcept;
// The same for what is worth a line and is no failure of a call: unetmap_last_error() stays as it is.
void report_notice(const char* text) noexcept;

}  // namespace unetmap::client
