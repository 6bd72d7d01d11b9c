// SPDX-License-Identifier: BSD-2-Clause
#include "base/output.hh"

#include <fcntl.h>
#include <stdio_ext.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace unetmap {
namespace {

const char* who = "unetmap";

void check_output() {
  // A closed standard output is a wish to see nothing, unless there was something to see.
  const bool failed_before = ferror(stdout) != 0, waiting = __fpending(stdout) > 0;
  errno = 0;
  const bool fails_now = fclose(stdout) != 0 && (waiting || errno != EBADF);
  if (!failed_before && !fails_now) return;
  const char* cause = fails_now && errno ? strerror(errno) : "it failed earlier";
  fprintf(stderr, "%s: standard output: could not be written in full: %s; is the disk full?\n", who, cause);
  _exit(EXIT_FAILURE);
}

// What is opened later would take the number of a standard descriptor that is closed, and get what is printed. These
// are as good as closed: none can be used for what it is there for, and programs that we become do not see them.
void keep_standard_descriptors() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
    if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
      (void)open("/dev/null",
                 (fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) | O_CLOEXEC);  // takes the lowest number: this one
  }
}

}  // namespace

void check_output_at_exit(const char* program) {
  who = program;
  keep_standard_descriptors();
  atexit(check_output);
}

bool output_works() { return fflush(stdout) == 0 && ferror(stdout) == 0; }

}  // namespace unetmap
