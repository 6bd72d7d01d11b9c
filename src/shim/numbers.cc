// SPDX-License-Identifier: BSD-2-Clause
// close, dup and fcntl: where descriptor numbers come and go.
#include "shim/numbers.hh"

#include <fcntl.h>
#include <unistd.h>

#include <cstdarg>

#include "client/descriptor/calls.hh"
#include "shim/epoll_sets.hh"
#include "shim/next.hh"
#include "shim/own_process.hh"

namespace unetmap::shim {
namespace {

constinit Next<int(int)> next_dup{"dup"};
constinit Next<int(int, int)> next_dup2{"dup2"};
constinit Next<int(int, int, int)> next_dup3{"dup3"};
constinit Next<int(int, int, ...)> next_fcntl{"fcntl"};
constinit Next<int(int, int, ...)> next_fcntl64{"fcntl64"};

// True if there is anything to remember about `fd`.
bool known(int fd) { return client::maybe_netmap(fd) || is_epoll_number(fd); }

// What dup2 and dup3 share. The target is forgotten before the call, while it still is what we know it as; but not if
// the call is going to fail.
template <class Call>
int duplicate_onto(int from, int to, Call call) {
  if (from == to) return call();
  if (internal_number(to)) {
    errno = EBUSY;
    return -1;
  }
  if (known(to)) {
    if (next_fcntl(from, F_GETFD) < 0) return -1;
    number_closing(to);
  }
  int result = call();
  if (result >= 0) number_duplicated(from, to);
  return result;
}

int duplicated_by(int from, int result) {
  if (result >= 0) number_duplicated(from, result);
  return result;
}

int control_flags(Next<int(int, int, ...)>& next, int fd, int command, void* argument) {
  int result = next(fd, command, argument);
  // The device tells what it was opened for; a socket is for both.
  if (command == F_GETFL && result >= 0 && client::maybe_netmap(fd) && client::is_netmap(fd))
    result = (result & ~O_ACCMODE) | client::access_mode(fd);
  return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? duplicated_by(fd, result) : result;
}

}  // namespace

// A number that is known to be something else stays so: whichever way a netmap descriptor may come to it, we see it.
void number_closing(int fd) noexcept {
  if (!known(fd) || !own_process()) return;
  KeepErrno keep;
  epoll_number_closed(fd);
  client::forget(fd);
}

void number_duplicated(int from, int to) noexcept {
  if (is_epoll_number(from)) {
    if (own_process()) epoll_number_duplicated(from, to);
  } else if (client::peek(from) && own_process()) {
    KeepErrno keep;
    client::duplicated(from, to);
    note_number(to);
  }
}

void number_received(int fd) noexcept {
  KeepErrno keep;
  if (!own_process()) return;
  epoll_number_closed(fd);
  client::received(fd);
  note_number(fd);
}

extern "C" {

int shim_close(int fd) UNETMAP_INTERPOSE(close);
int shim_close(int fd) {
  if (internal_number(fd)) {
    errno = EBADF;
    return -1;
  }
  number_closing(fd);
  return next::close(fd);
}

int shim_dup(int fd) UNETMAP_INTERPOSE(dup);
int shim_dup(int fd) { return duplicated_by(fd, next_dup(fd)); }

int shim_dup2(int from, int to) UNETMAP_INTERPOSE(dup2);
int shim_dup2(int from, int to) {
  return duplicate_onto(from, to, [=] { return next_dup2(from, to); });
}

int shim_dup3(int from, int to, int flags) UNETMAP_INTERPOSE(dup3);
int shim_dup3(int from, int to, int flags) {
  return duplicate_onto(from, to, [=] { return next_dup3(from, to, flags); });
}

// The argument is an int or a pointer, or there is none: whichever, it travels as a word.
int shim_fcntl(int fd, int command, ...) UNETMAP_INTERPOSE(fcntl);
int shim_fcntl(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  return control_flags(next_fcntl, fd, command, argument);
}

int shim_fcntl64(int fd, int command, ...) UNETMAP_INTERPOSE(fcntl64);
int shim_fcntl64(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  return control_flags(next_fcntl64, fd, command, argument);
}

}  // extern "C"

}  // namespace unetmap::shim
