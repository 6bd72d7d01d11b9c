// SPDX-License-Identifier: BSD-2-Clause
// The open family, fopen and fclose.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdarg>

#include "client/descriptor/calls.hh"
#include "shim/device_path.hh"
#include "shim/next.hh"
#include "shim/numbers.hh"
#include "shim/own_process.hh"
#include "shim/parameters.hh"
#include "shim/refuse.hh"

namespace unetmap::shim {
namespace {

constinit Next<int(const char*, int, ...)> next_open{"open"};
constinit Next<int(const char*, int, ...)> next_open64{"open64"};
constinit Next<int(int, const char*, int, ...)> next_openat{"openat"};
constinit Next<int(int, const char*, int, ...)> next_openat64{"openat64"};
constinit Next<int(const char*, int)> next_open_2{"__open_2"};
constinit Next<int(const char*, int)> next_open64_2{"__open64_2"};
constinit Next<int(int, const char*, int)> next_openat_2{"__openat_2"};
constinit Next<int(int, const char*, int)> next_openat64_2{"__openat64_2"};

using OpenStream = FILE*(const char*, const char*);
constinit NextPointer<OpenStream> next_fopen{"fopen"};
constinit NextPointer<OpenStream> next_fopen64{"fopen64"};
constinit Next<int(FILE*)> next_fclose{"fclose"};

int open_device(int flags) {
  if (flags & O_DIRECTORY) return fail(ENOTDIR);
  if ((flags & O_CREAT) && (flags & O_EXCL)) return fail(EEXIST);
  int saved_errno = errno;
  int fd = client::open_device(flags);
  if (fd < 0) return fd;
  errno = saved_errno;
  note_number(fd);
  return fd;
}

// What another file was opened as is no netmap descriptor: known without a look at it later, which programs in a
// sandbox may not be allowed (getsockopt).
inline int noted(int fd) {
  if (fd >= 0 && client::maybe_netmap(fd) && own_process()) client::note_opened(fd);
  return fd;
}

// Likewise those that everybody writes to.
[[gnu::constructor]] void note_standard_descriptors() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    if (!client::is_netmap(fd)) client::note_other(fd);
}

// True if `path` is netmap's, with what open(2) answers in `fd`. Names only (O_PATH) are the kernel's to give.
inline bool open_ours(const char* path, int flags, int* fd) {
  DevicePath found = classify_path(path);
  if (found.kind == PathKind::kOther || (flags & O_PATH)) [[likely]]
    return false;
  if (found.kind == PathKind::kParameterDirectory) return false;
  *fd = found.kind == PathKind::kDevice ? open_device(flags) : open_parameter(found.parameter, flags);
  return true;
}

int flags_of_mode(const char* mode) {
  int flags = strchr(mode, '+') ? O_RDWR : mode[0] == 'r' ? O_RDONLY : O_WRONLY;
  if (strchr(mode, 'e')) flags |= O_CLOEXEC;
  if (strchr(mode, 'x') && mode[0] != 'r') flags |= O_CREAT | O_EXCL;
  return flags;
}

FILE* open_stream(OpenStream* next, const char* path, const char* mode) {
  int fd;
  if (!mode || !open_ours(path, flags_of_mode(mode), &fd)) {
    if (next) return next(path, mode);
    errno = ENOSYS;
    return nullptr;
  }
  if (fd < 0) return nullptr;
  FILE* stream = fdopen(fd, mode);
  if (stream) return stream;
  KeepErrno keep;
  number_closing(fd);
  syscall(SYS_close, fd);
  return nullptr;
}

mode_t mode_argument(int flags, va_list arguments) {
  return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? mode_t(va_arg(arguments, int)) : 0;
}

}  // namespace

extern "C" {

#define UNETMAP_WITH_MODE(flags)                 \
  va_list arguments;                             \
  va_start(arguments, flags);                    \
  mode_t mode = mode_argument(flags, arguments); \
  va_end(arguments)

int shim_open(const char* path, int flags, ...) UNETMAP_INTERPOSE(open);
int shim_open(const char* path, int flags, ...) {
  UNETMAP_WITH_MODE(flags);
  int fd;
  return open_ours(path, flags, &fd) ? fd : noted(next_open(path, flags, mode));
}

int shim_open64(const char* path, int flags, ...) UNETMAP_INTERPOSE(open64);
int shim_open64(const char* path, int flags, ...) {
  UNETMAP_WITH_MODE(flags);
  int fd;
  return open_ours(path, flags, &fd) ? fd : noted(next_open64(path, flags, mode));
}

int shim_openat(int dir, const char* path, int flags, ...) UNETMAP_INTERPOSE(openat);
int shim_openat(int dir, const char* path, int flags, ...) {
  UNETMAP_WITH_MODE(flags);
  int fd;
  return open_ours(path, flags, &fd) ? fd : noted(next_openat(dir, path, flags, mode));
}

int shim_openat64(int dir, const char* path, int flags, ...) UNETMAP_INTERPOSE(openat64);
int shim_openat64(int dir, const char* path, int flags, ...) {
  UNETMAP_WITH_MODE(flags);
  int fd;
  return open_ours(path, flags, &fd) ? fd : noted(next_openat64(dir, path, flags, mode));
}

// What the calls become under _FORTIFY_SOURCE where no mode is passed.
int shim_open_2(const char* path, int flags) UNETMAP_INTERPOSE(__open_2);
int shim_open_2(const char* path, int flags) {
  int fd;
  return open_ours(path, flags, &fd) ? fd : noted(next_open_2(path, flags));
}

int shim_open64_2(const char* path, int flags) UNETMAP_INTERPOSE(__open64_2);
int shim_open64_2(const char* path, int flags) {
  int fd;
  return open_ours(path, flags, &fd) ? fd : noted(next_open64_2(path, flags));
}

int shim_openat_2(int dir, const char* path, int flags) UNETMAP_INTERPOSE(__openat_2);
int shim_openat_2(int dir, const char* path, int flags) {
  int fd;
  return open_ours(path, flags, &fd) ? fd : noted(next_openat_2(dir, path, flags));
}

int shim_openat64_2(int dir, const char* path, int flags) UNETMAP_INTERPOSE(__openat64_2);
int shim_openat64_2(int dir, const char* path, int flags) {
  int fd;
  return open_ours(path, flags, &fd) ? fd : noted(next_openat64_2(dir, path, flags));
}

FILE* shim_fopen(const char* path, const char* mode) UNETMAP_INTERPOSE(fopen);
FILE* shim_fopen(const char* path, const char* mode) { return open_stream(next_fopen.get(), path, mode); }

FILE* shim_fopen64(const char* path, const char* mode) UNETMAP_INTERPOSE(fopen64);
FILE* shim_fopen64(const char* path, const char* mode) { return open_stream(next_fopen64.get(), path, mode); }

// The C library closes a stream's descriptor by itself.
int shim_fclose(FILE* stream) UNETMAP_INTERPOSE(fclose);
int shim_fclose(FILE* stream) {
  if (stream) {
    KeepErrno keep;
    if (int fd = fileno(stream); fd >= 0) number_closing(fd);
  }
  return next_fclose(stream);
}

#undef UNETMAP_WITH_MODE

}  // extern "C"

}  // namespace unetmap::shim
