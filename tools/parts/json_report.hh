// SPDX-License-Identifier: BSD-2-Clause
// How programs fail, and what --json prints: one object in one line, which begins with the program, its version and its
// error. docs/man/unetmap-json.7 has all names.
#pragma once

#include <new>
#include <string>
#include <system_error>

#include "base/json.hh"
#include "base/output.hh"

namespace unetmap::parts {

// Says "PROGRAM: TEXT" on standard error, and remembers it for the JSON. The status to end with: 1.
int fail(const std::string& program, const std::string& text);
// What failed, if something did; empty otherwise.
const std::string& failure();

// {"program":..., "version":..., "error": what failed or null, ...} with the members of `body`, and the end of the
// line.
std::string json_line(const std::string& program, const Json& body);
// Prints that.
void print_json(const std::string& program, const Json& body);

// For the end of main(): a program that was asked for JSON and failed before it had any prints its failure. `status`.
int ended(const std::string& program, int status, bool json);

// What `act` gives; memory and threads that run out in it are failures as any other.
template <class Act>
int unless_exhausted(const std::string& program, bool json, Act&& act) {
  try {
    return act();
  } catch (const std::bad_alloc&) {
    return ended(program, fail(program, no_memory_text()), json);
  } catch (const std::system_error& error) {
    return ended(program, fail(program, no_thread_text(error.code().value())), json);
  }
}

// main() of a program, less the reading of its command line: `act` gives the status to end with.
template <class Act>
int carried_out(const std::string& program, bool json, Act&& act) {
  return unless_exhausted(program, json, [&] { return ended(program, act(), json); });
}

// Whether the words of a command line ask for JSON: for mistakes that end its reading.
bool json_wanted(int argc, const char* const* argv);

}  // namespace unetmap::parts
