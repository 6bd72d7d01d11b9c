// SPDX-License-Identifier: BSD-2-Clause
// The stat and access families: the device looks like a character device that everyone may use, the parameters like
// files that everyone may read.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "client/descriptor/calls.hh"
#include "shim/device_path.hh"
#include "shim/next.hh"
#include "shim/parameters.hh"

namespace unetmap::shim {
namespace {

constinit Next<int(const char*, struct stat*)> next_stat{"stat"};
constinit Next<int(const char*, struct stat64*)> next_stat64{"stat64"};
constinit Next<int(const char*, struct stat*)> next_lstat{"lstat"};
constinit Next<int(const char*, struct stat64*)> next_lstat64{"lstat64"};
constinit Next<int(int, struct stat*)> next_fstat{"fstat"};
constinit Next<int(int, struct stat64*)> next_fstat64{"fstat64"};
constinit Next<int(int, const char*, struct stat*, int)> next_fstatat{"fstatat"};
constinit Next<int(int, const char*, struct stat64*, int)> next_fstatat64{"fstatat64"};
constinit Next<int(int, const char*, int, unsigned, struct statx*)> next_statx{"statx"};
constinit Next<int(int, const char*, struct stat*)> next_xstat{"__xstat"};
constinit Next<int(int, const char*, struct stat64*)> next_xstat64{"__xstat64"};
constinit Next<int(int, const char*, struct stat*)> next_lxstat{"__lxstat"};
constinit Next<int(int, const char*, struct stat64*)> next_lxstat64{"__lxstat64"};
constinit Next<int(int, int, struct stat*)> next_fxstat{"__fxstat"};
constinit Next<int(int, int, struct stat64*)> next_fxstat64{"__fxstat64"};
constinit Next<int(int, int, const char*, struct stat*, int)> next_fxstatat{"__fxstatat"};
constinit Next<int(int, int, const char*, struct stat64*, int)> next_fxstatat64{"__fxstatat64"};
constinit Next<int(const char*, int)> next_access{"access"};
constinit Next<int(int, const char*, int, int)> next_faccessat{"faccessat"};
constinit Next<int(const char*, int)> next_euidaccess{"euidaccess"};
constinit Next<int(const char*, int)> next_eaccess{"eaccess"};
constinit Next<ssize_t(const char*, const char*, void*, size_t)> next_getxattr{"getxattr"};
constinit Next<ssize_t(const char*, const char*, void*, size_t)> next_lgetxattr{"lgetxattr"};

static_assert(sizeof(struct stat) == sizeof(struct stat64), "a platform with 64-bit file offsets");

// Misc major; a minor from the range that the kernel gives out at run time, where the module's device would be.
constexpr unsigned kMajor = 10, kMinor = 120;
constexpr uint64_t kInode = 0x6e65746d;
constexpr uint32_t kReadOnlyModes = 0444;

struct Looks {
  uint32_t mode;
  uint64_t inode;
  int64_t size;
  bool device;
};

// False, with errno, for a parameter that does not exist.
bool looks_of(const DevicePath& path, Looks* looks) {
  switch (path.kind) {
    case PathKind::kDevice:
      *looks = {S_IFCHR | 0666, kInode, 0, true};
      return true;
    case PathKind::kParameterDirectory:
      *looks = {S_IFDIR | 0555, kInode + 1, 0, false};
      return true;
    case PathKind::kParameter:
      if (const Parameter* p = find_parameter(path.parameter)) {
        *looks = {S_IFREG | kReadOnlyModes, kInode + 2 + uint64_t(p - kParameters), 4096, false};
        return true;
      }
      break;
    case PathKind::kOther:
      break;
  }
  errno = ENOENT;
  return false;
}

// Everything else is as for another file of /dev, which exists wherever programs run.
constexpr const char* kModel = "/dev/null";

int fill(const DevicePath& path, struct stat* out) {
  Looks looks;
  if (!looks_of(path, &looks)) return -1;
  int saved_errno = errno;
  if (syscall(SYS_newfstatat, AT_FDCWD, kModel, out, 0) < 0) {
    if (errno == EFAULT) return -1;
    *out = {};
  }
  errno = saved_errno;
  out->st_mode = looks.mode;
  out->st_ino = looks.inode;
  out->st_nlink = 1;
  out->st_uid = out->st_gid = 0;
  out->st_size = looks.size;
  out->st_rdev = looks.device ? makedev(kMajor, kMinor) : 0;
  return 0;
}

int fill(const DevicePath& path, unsigned mask, struct statx* out) {
  Looks looks;
  if (!looks_of(path, &looks)) return -1;
  int saved_errno = errno;
  if (syscall(SYS_statx, AT_FDCWD, kModel, 0, mask, out) < 0) {
    if (errno == EFAULT) return -1;
    *out = {};
  }
  errno = saved_errno;
  out->stx_mask |= STATX_BASIC_STATS;
  out->stx_mode = uint16_t(looks.mode);
  out->stx_ino = looks.inode;
  out->stx_nlink = 1;
  out->stx_uid = out->stx_gid = 0;
  out->stx_size = uint64_t(looks.size);
  out->stx_rdev_major = looks.device ? kMajor : 0;
  out->stx_rdev_minor = looks.device ? kMinor : 0;
  return 0;
}

constexpr DevicePath kDevice{PathKind::kDevice, {}};

bool is_device(int fd) { return fd >= 0 && client::peek(fd) != nullptr; }

// What fstatat and statx are asked about: a path of ours, or a descriptor of ours by AT_EMPTY_PATH.
DevicePath asked(int dir, const char* path, int flags) {
  if (path && path[0] == 0 && (flags & AT_EMPTY_PATH)) return is_device(dir) ? kDevice : DevicePath{};
  return classify_path(path);
}

// stat and stat64 are one structure here.
template <class Stat, class CallNext>
int path_stat(const char* path, Stat* out, CallNext next) {
  DevicePath found = classify_path(path);
  if (found.kind == PathKind::kOther) [[likely]]
    return next();
  return fill(found, reinterpret_cast<struct stat*>(out));
}
template <class Stat, class CallNext>
int number_stat(int fd, Stat* out, CallNext next) {
  return is_device(fd) ? fill(kDevice, reinterpret_cast<struct stat*>(out)) : next();
}
template <class Stat, class CallNext>
int at_stat(int dir, const char* path, Stat* out, int flags, CallNext next) {
  DevicePath found = asked(dir, path, flags);
  if (found.kind == PathKind::kOther) [[likely]]
    return next();
  return fill(found, reinterpret_cast<struct stat*>(out));
}
template <class CallNext>
int path_access(const char* path, int mode, CallNext next) {
  DevicePath found = classify_path(path);
  if (found.kind == PathKind::kOther) [[likely]]
    return next();
  Looks looks;
  if (mode & ~(R_OK | W_OK | X_OK))
    errno = EINVAL;
  else if (!looks_of(found, &looks))
    errno = ENOENT;
  else if ((uint32_t(mode) & ~(looks.mode & 7)) != 0)
    errno = EACCES;
  else
    return 0;
  return -1;
}

}  // namespace

extern "C" {

int shim_stat(const char* path, struct stat* out) UNETMAP_INTERPOSE(stat);
int shim_stat(const char* path, struct stat* out) {
  return path_stat(path, out, [=] { return next_stat(path, out); });
}
int shim_stat64(const char* path, struct stat64* out) UNETMAP_INTERPOSE(stat64);
int shim_stat64(const char* path, struct stat64* out) {
  return path_stat(path, out, [=] { return next_stat64(path, out); });
}
int shim_lstat(const char* path, struct stat* out) UNETMAP_INTERPOSE(lstat);
int shim_lstat(const char* path, struct stat* out) {
  return path_stat(path, out, [=] { return next_lstat(path, out); });
}
int shim_lstat64(const char* path, struct stat64* out) UNETMAP_INTERPOSE(lstat64);
int shim_lstat64(const char* path, struct stat64* out) {
  return path_stat(path, out, [=] { return next_lstat64(path, out); });
}
int shim_fstat(int fd, struct stat* out) UNETMAP_INTERPOSE(fstat);
int shim_fstat(int fd, struct stat* out) {
  return number_stat(fd, out, [=] { return next_fstat(fd, out); });
}
int shim_fstat64(int fd, struct stat64* out) UNETMAP_INTERPOSE(fstat64);
int shim_fstat64(int fd, struct stat64* out) {
  return number_stat(fd, out, [=] { return next_fstat64(fd, out); });
}
int shim_fstatat(int dir, const char* path, struct stat* out, int flags) UNETMAP_INTERPOSE(fstatat);
int shim_fstatat(int dir, const char* path, struct stat* out, int flags) {
  return at_stat(dir, path, out, flags, [=] { return next_fstatat(dir, path, out, flags); });
}
int shim_fstatat64(int dir, const char* path, struct stat64* out, int flags) UNETMAP_INTERPOSE(fstatat64);
int shim_fstatat64(int dir, const char* path, struct stat64* out, int flags) {
  return at_stat(dir, path, out, flags, [=] { return next_fstatat64(dir, path, out, flags); });
}
int shim_statx(int dir, const char* path, int flags, unsigned mask, struct statx* out) UNETMAP_INTERPOSE(statx);
int shim_statx(int dir, const char* path, int flags, unsigned mask, struct statx* out) {
  DevicePath found = asked(dir, path, flags);
  if (found.kind == PathKind::kOther) [[likely]]
    return next_statx(dir, path, flags, mask, out);
  return fill(found, mask, out);
}

// What programs linked before glibc 2.33 call. The structure has had one version on 64-bit platforms.
int shim_xstat(int version, const char* path, struct stat* out) UNETMAP_INTERPOSE(__xstat);
int shim_xstat(int version, const char* path, struct stat* out) {
  return path_stat(path, out, [=] { return next_xstat(version, path, out); });
}
int shim_xstat64(int version, const char* path, struct stat64* out) UNETMAP_INTERPOSE(__xstat64);
int shim_xstat64(int version, const char* path, struct stat64* out) {
  return path_stat(path, out, [=] { return next_xstat64(version, path, out); });
}
int shim_lxstat(int version, const char* path, struct stat* out) UNETMAP_INTERPOSE(__lxstat);
int shim_lxstat(int version, const char* path, struct stat* out) {
  return path_stat(path, out, [=] { return next_lxstat(version, path, out); });
}
int shim_lxstat64(int version, const char* path, struct stat64* out) UNETMAP_INTERPOSE(__lxstat64);
int shim_lxstat64(int version, const char* path, struct stat64* out) {
  return path_stat(path, out, [=] { return next_lxstat64(version, path, out); });
}
int shim_fxstat(int version, int fd, struct stat* out) UNETMAP_INTERPOSE(__fxstat);
int shim_fxstat(int version, int fd, struct stat* out) {
  return number_stat(fd, out, [=] { return next_fxstat(version, fd, out); });
}
int shim_fxstat64(int version, int fd, struct stat64* out) UNETMAP_INTERPOSE(__fxstat64);
int shim_fxstat64(int version, int fd, struct stat64* out) {
  return number_stat(fd, out, [=] { return next_fxstat64(version, fd, out); });
}
int shim_fxstatat(int version, int dir, const char* path, struct stat* out, int flags) UNETMAP_INTERPOSE(__fxstatat);
int shim_fxstatat(int version, int dir, const char* path, struct stat* out, int flags) {
  return at_stat(dir, path, out, flags, [=] { return next_fxstatat(version, dir, path, out, flags); });
}
int shim_fxstatat64(int version, int dir, const char* path, struct stat64* out, int flags)
    UNETMAP_INTERPOSE(__fxstatat64);
int shim_fxstatat64(int version, int dir, const char* path, struct stat64* out, int flags) {
  return at_stat(dir, path, out, flags, [=] { return next_fxstatat64(version, dir, path, out, flags); });
}

int shim_access(const char* path, int mode) UNETMAP_INTERPOSE(access);
int shim_access(const char* path, int mode) {
  return path_access(path, mode, [=] { return next_access(path, mode); });
}
int shim_faccessat(int dir, const char* path, int mode, int flags) UNETMAP_INTERPOSE(faccessat);
int shim_faccessat(int dir, const char* path, int mode, int flags) {
  return path_access(path, mode, [=] { return next_faccessat(dir, path, mode, flags); });
}
int shim_euidaccess(const char* path, int mode) UNETMAP_INTERPOSE(euidaccess);
int shim_euidaccess(const char* path, int mode) {
  return path_access(path, mode, [=] { return next_euidaccess(path, mode); });
}
int shim_eaccess(const char* path, int mode) UNETMAP_INTERPOSE(eaccess);
int shim_eaccess(const char* path, int mode) {
  return path_access(path, mode, [=] { return next_eaccess(path, mode); });
}

// ls -l asks for labels and access control lists, and complains when there is no such file.
ssize_t shim_getxattr(const char* path, const char* name, void* out, size_t size) UNETMAP_INTERPOSE(getxattr);
ssize_t shim_getxattr(const char* path, const char* name, void* out, size_t size) {
  if (classify_path(path).kind == PathKind::kOther) [[likely]]
    return next_getxattr(path, name, out, size);
  errno = ENOTSUP;
  return -1;
}
ssize_t shim_lgetxattr(const char* path, const char* name, void* out, size_t size) UNETMAP_INTERPOSE(lgetxattr);
ssize_t shim_lgetxattr(const char* path, const char* name, void* out, size_t size) {
  if (classify_path(path).kind == PathKind::kOther) [[likely]]
    return next_lgetxattr(path, name, out, size);
  errno = ENOTSUP;
  return -1;
}

}  // extern "C"

}  // namespace unetmap::shim
