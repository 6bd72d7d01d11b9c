// SPDX-License-Identifier: BSD-2-Clause
#include "client/memory/user_memory.hh"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <string>

#include "base/fd.hh"

namespace unetmap::client {
namespace {

constexpr size_t kPiece = 4096;  // that a pipe takes whole

// Reading and writing the memory of one's own process by system call, which some filters of system calls forbid.
long move_directly(bool store, uint64_t address, void* ours, size_t bytes) {
  iovec local{ours, bytes}, remote{reinterpret_cast<void*>(address), bytes};
  return syscall(store ? SYS_process_vm_writev : SYS_process_vm_readv, getpid(), &local, 1, &remote, 1, 0);
}

// Through a pipe, whose ends look at addresses too. Where there is none to be had either, the program is believed.
int move_by_pipe(bool store, uint64_t address, void* ours, size_t bytes) {
  auto* mine = static_cast<uint8_t*>(ours);
  int pair[2];
  if (syscall(SYS_pipe2, pair, O_CLOEXEC | O_NONBLOCK) < 0) {
    auto* theirs = reinterpret_cast<uint8_t*>(address);
    memcpy(store ? theirs : mine, store ? mine : theirs, bytes);
    return 0;
  }
  UniqueFd out(pair[0]), in(pair[1]);
  for (size_t done = 0; done < bytes;) {
    size_t piece = std::min(bytes - done, kPiece);
    auto theirs = reinterpret_cast<void*>(address + done);
    const void* from = store ? mine + done : theirs;
    void* to = store ? theirs : mine + done;
    if (syscall(SYS_write, in.get(), from, piece) != long(piece)) return EFAULT;
    if (syscall(SYS_read, out.get(), to, piece) != long(piece)) return EFAULT;
    done += piece;
  }
  return 0;
}

int move(bool store, uint64_t address, void* ours, size_t bytes) {
  if (bytes == 0) return 0;
  int saved = errno;
  long moved = move_directly(store, address, ours, bytes);
  int error = moved == long(bytes) ? 0 : EFAULT;
  if (moved < 0 && errno != EFAULT) error = move_by_pipe(store, address, ours, bytes);
  errno = saved;
  return error;
}

}  // namespace

int load_user(uint64_t address, void* to, size_t bytes) noexcept { return move(false, address, to, bytes); }

int store_user(uint64_t address, const void* from, size_t bytes) noexcept {
  return move(true, address, const_cast<void*>(from), bytes);
}

bool readable_user(uint64_t address, size_t bytes) noexcept {
  uint8_t piece[kPiece];
  for (size_t done = 0; done < bytes; done += std::min(bytes - done, kPiece))
    if (load_user(address + done, piece, std::min(bytes - done, kPiece)) != 0) return false;
  return true;
}

bool writable_user(uint64_t address, size_t bytes) noexcept {
  uint8_t piece[kPiece];
  for (size_t done = 0; done < bytes; done += std::min(bytes - done, kPiece)) {
    size_t now = std::min(bytes - done, kPiece);
    if (load_user(address + done, piece, now) != 0 || store_user(address + done, piece, now) != 0) return false;
  }
  return true;
}

bool writable_mappings(uint64_t address, uint64_t bytes) {
  const int saved = errno;
  UniqueFd maps(int(syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC)));
  std::string text;
  char piece[kPiece];
  for (long n; maps && (n = syscall(SYS_read, maps.get(), piece, sizeof piece)) > 0;) text.append(piece, size_t(n));
  errno = saved;
  if (text.empty()) return true;
  uint64_t to = address;  // what has been found so far
  for (const char* line = text.c_str(); line && *line && to - address < bytes;) {
    uint64_t first = 0, end = 0;
    char writes = 0;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*c%c", &first, &end, &writes) != 3) return true;
    if (end > to) {
      if (first > to || writes != 'w') return false;
      to = end;
    }
    line = strchr(line, '\n');
    if (line) line++;
  }
  return to - address >= bytes;
}

}  // namespace unetmap::client
