// SPDX-License-Identifier: BSD-2-Clause
#include "client/link/errors.hh"

#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

#include "unetmap/unetmap.h"

namespace unetmap::client {
namespace {

thread_local char last_error[512];
std::atomic<unetmap_error_callback> callback{nullptr};

}  // namespace

void note_error(const char* text) noexcept {
  strncpy(last_error, text, sizeof last_error - 1);
  for (char* c = last_error; *c; c++)  // one line, whatever names are in it
    if (static_cast<unsigned char>(*c) < ' ') *c = '?';
}

void report_notice(const char* text) noexcept {
  int saved = errno;
  if (auto* f = callback.load()) {
    f(text);
  } else if (const char* log = getenv("UNETMAP_LOG"); log && *log && *log != '0') {
    const char before[] = "unetmap: ";
    const iovec line[] = {{const_cast<char*>(before), sizeof before - 1},
                          {const_cast<char*>(text), strlen(text)},
                          {const_cast<char*>("\n"), 1}};
    syscall(SYS_writev, STDERR_FILENO, line, 3);
  }
  errno = saved;
}

void report_error(const char* text) noexcept {
  note_error(text);
  report_notice(last_error);
}

void note_no_memory() noexcept {
  report_error("no memory left for this program; raise its limit (ulimit -v, -d) or that of its control group");
  errno = ENOMEM;
}

int fail(int code, const std::string& text) {
  report_error(text.c_str());
  errno = code;
  return -1;
}

}  // namespace unetmap::client

extern "C" const char* unetmap_last_error(void) { return unetmap::client::last_error; }

extern "C" void unetmap_set_error_callback(unetmap_error_callback f) { unetmap::client::callback.store(f); }
