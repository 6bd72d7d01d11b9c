// SPDX-License-Identifier: BSD-2-Clause
#include "client/memory/user_memory.hh"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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

namespace {

struct MappedStretch {
  uint64_t first, end;
  char writes;       // 'w': they do
  const char* line;  // of /proc/self/maps
  size_t length;
};

// Those that lie in [address, address + bytes), in order, as long as each begins where the last one ended and
// use(stretch) says so. Returns up to where that was; nullopt where /proc does not tell.
template <class Use>
std::optional<uint64_t> each_mapping(uint64_t address, uint64_t bytes, Use&& use) {
  const int saved = errno;
  UniqueFd maps(int(syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC)));
  std::string text;
  char piece[kPiece];
  for (long n; maps && (n = syscall(SYS_read, maps.get(), piece, sizeof piece)) > 0;) text.append(piece, size_t(n));
  errno = saved;
  if (text.empty()) return {};
  uint64_t to = address;  // what has been found so far
  for (const char* line = text.c_str(); line && *line && to - address < bytes;) {
    const char* const end_of_line = strchr(line, '\n');
    MappedStretch stretch{0, 0, 0, line, end_of_line ? size_t(end_of_line - line) : strlen(line)};
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*c%c", &stretch.first, &stretch.end, &stretch.writes) != 3) return {};
    if (stretch.end > to) {
      if (stretch.first > to || !use(stretch)) return to;
      to = stretch.end;
    }
    line = end_of_line ? end_of_line + 1 : nullptr;
  }
  return to;
}

}  // namespace

bool writable_mappings(uint64_t address, uint64_t bytes) {
  auto to = each_mapping(address, bytes, [](const MappedStretch& each) { return each.writes == 'w'; });
  return !to || *to - address >= bytes;
}

bool maps_region(uint64_t address, uint64_t bytes) {
  bool begins = false;
  auto to = each_mapping(address, bytes, [&](const MappedStretch& each) {
    begins |= std::string_view(each.line, each.length).find("/memfd:unetmap-private") != std::string_view::npos;
    return begins;
  });
  return to && begins && *to - address >= bytes;
}

int move_mappings(uint64_t from, uint64_t bytes, uint64_t to) noexcept {
  std::vector<std::pair<uint64_t, uint64_t>> stretches;
  auto end = each_mapping(from, bytes, [&](const MappedStretch& each) {
    const uint64_t first = std::max(each.first, from);
    stretches.push_back({first, std::min(each.end, from + bytes) - first});
    return true;
  });
  if (!end || *end - from < bytes) return EFAULT;
  auto move_one = [&](uint64_t at, uint64_t length, uint64_t there) {
    long moved = syscall(SYS_mremap, at, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, there);
    return moved == long(there) ? 0 : errno;
  };
  for (size_t i = 0; i < stretches.size(); i++)
    if (int error = move_one(stretches[i].first, stretches[i].second, to + (stretches[i].first - from))) {
      while (i-- > 0) (void)move_one(to + (stretches[i].first - from), stretches[i].second, stretches[i].first);
      return error;
    }
  return 0;
}

}  // namespace unetmap::client
