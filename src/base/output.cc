// SPDX-License-Identifier: BSD-2-Clause
#include "base/output.hh"

#include <fcntl.h>
#include <stdio_ext.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <system_error>

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

struct Limit {
  int resource;
  const char *what, *option;
};
constexpr Limit kMemoryLimits[] = {{RLIMIT_AS, "addresses", "-v"}, {RLIMIT_DATA, "data", "-d"}};

// Into `to`: without memory of its own.
void describe_no_memory(char* to, size_t size) {
  for (const Limit& each : kMemoryLimits) {
    rlimit limit{};
    if (getrlimit(each.resource, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY) continue;
    snprintf(to, size, "no memory left: it may have %llu KiB of %s; raise that limit (ulimit %s)",
             static_cast<unsigned long long>(limit.rlim_cur / 1024), each.what, each.option);
    return;
  }
  snprintf(to, size, "no memory left on this machine; end other programs");
}

std::terminate_handler abort_with_it;

// Threads and what may not throw end here. There is no way on, but it is no fault of the program's either: it ends with
// a word, as from anything else that it could not do.
void end_in_words() {
  char why[200] = "";
  try {
    if (std::exception_ptr thrown = std::current_exception()) std::rethrow_exception(thrown);
  } catch (const std::bad_alloc&) {
    describe_no_memory(why, sizeof why);
  } catch (const std::system_error& error) {
    if (error.code().value() == EAGAIN) snprintf(why, sizeof why, "%s", no_thread_text(EAGAIN).c_str());
  } catch (...) {  // a fault: whoever looks for it wants to see it
  }
  // One that was under way when a destructor could not go on.
  if (!*why && std::uncaught_exceptions() > 0) describe_no_memory(why, sizeof why);
  if (!*why) abort_with_it();
  fprintf(stderr, "%s: %s\n", who, why);
  fflush(stdout);
  _exit(EXIT_FAILURE);
}

}  // namespace

std::string no_memory_text() {
  char text[200];
  describe_no_memory(text, sizeof text);
  return text;
}

std::string no_thread_text(int code) {
  return std::string("no more threads: ") + strerror(code) +
         "; raise the limits of processes (ulimit -u, pids.max of its control group) and of memory (ulimit -v, -d)";
}

void check_output_at_exit(const char* program) {
  who = program;
  keep_standard_descriptors();
  atexit(check_output);
  abort_with_it = std::set_terminate(end_in_words);
}

bool output_works() { return fflush(stdout) == 0 && ferror(stdout) == 0; }

}  // namespace unetmap
