// SPDX-License-Identifier: BSD-2-Clause
// What went wrong, in words.
#pragma once

#include <new>
#include <string>
#include <utility>

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

// Says that there is no memory, without any. errno: ENOMEM.
void note_no_memory() noexcept;

// What `act` gives; `otherwise` and ENOMEM where the program's memory runs out in the middle of it: its own limits are
// no reason to end it.
template <class Act, class Out>
Out unless_no_memory(Out otherwise, Act&& act) {
  try {
    return std::forward<Act>(act)();
  } catch (const std::bad_alloc&) {
    note_no_memory();
    return otherwise;
  }
}

}  // namespace unetmap::client
