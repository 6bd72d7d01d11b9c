// SPDX-License-Identifier: BSD-2-Clause
#include "guest/shared_window.hh"

#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <csignal>
#include <mutex>
#include <utility>

namespace unetmap::guest {
namespace {

#ifndef XFS_SUPER_MAGIC
constexpr long XFS_SUPER_MAGIC = 0x58465342;
#endif

// What the handler knows. A slot is in use while `start` is not 0; `start` is written last and cleared first, and only
// the thread that touches a window can fault in it.
struct Slot {
  std::atomic<uintptr_t> start;
  uintptr_t end;
  std::atomic<bool>* broken;
};
constexpr int kSlots = 4096;
Slot slots[kSlots];
std::atomic<int> slots_used;  // one more than the highest slot that was ever in use
std::mutex slots_mutex;
struct sigaction before;

void on_sigbus(int number, siginfo_t* info, void* context) {
  auto at = reinterpret_cast<uintptr_t>(info->si_addr);
  int used = slots_used.load(std::memory_order_acquire);
  for (int i = 0; i < used; i++) {
    uintptr_t start = slots[i].start.load(std::memory_order_acquire);
    if (start == 0 || at < start || at >= slots[i].end) continue;
    int saved = errno;
    slots[i].broken->store(true, std::memory_order_relaxed);
    void* got = mmap(reinterpret_cast<void*>(start), slots[i].end - start, PROT_READ | PROT_WRITE,
                     MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    errno = saved;
    if (got != MAP_FAILED) return;
    break;
  }
  if (before.sa_flags & SA_SIGINFO) return before.sa_sigaction(number, info, context);
  if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) return before.sa_handler(number);
  // Not ours: the access runs again, and has its usual end.
  signal(SIGBUS, SIG_DFL);
}

void install_handler() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action = {};
    action.sa_sigaction = on_sigbus;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGBUS, &action, &before);
  });
}

int take_slot(uintptr_t start, uintptr_t end, std::atomic<bool>& broken) {
  std::lock_guard lock(slots_mutex);
  for (int i = 0; i < kSlots; i++) {
    if (slots[i].start.load(std::memory_order_relaxed) != 0) continue;
    slots[i].end = end;
    slots[i].broken = &broken;
    slots[i].start.store(start, std::memory_order_release);
    if (i >= slots_used.load(std::memory_order_relaxed)) slots_used.store(i + 1, std::memory_order_release);
    return i;
  }
  return -1;
}

// The page size of the file, or an error when it cannot serve as memory.
Result<uint64_t> check_file(int fd, uint64_t bytes, uint64_t offset) {
  struct stat st;
  struct statfs fs;
  if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0) return Error::from_errno(errno, "shared memory");
  if (!S_ISREG(st.st_mode))
    return Error{EINVAL, "shared memory: not a file; use a memfd or a file on tmpfs or hugetlbfs"};
  uint64_t page = uint64_t(sysconf(_SC_PAGESIZE));
  switch (fs.f_type) {
    case HUGETLBFS_MAGIC:
      page = uint64_t(fs.f_bsize);
      break;
    case TMPFS_MAGIC:
    case RAMFS_MAGIC:
    case EXT4_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
      break;
    default:
      return Error{EINVAL,
                   "shared memory: a file system whose pages can keep us waiting; use a memfd or a file on tmpfs "
                   "or hugetlbfs"};
  }
  uint64_t end;
  if (bytes == 0 || __builtin_add_overflow(offset, bytes, &end) || end > uint64_t(st.st_size))
    return Error{EINVAL, "shared memory: " + std::to_string(bytes) + " bytes at " + std::to_string(offset) +
                             " of a file of " + std::to_string(st.st_size)};
  return page;
}

}  // namespace

Result<SharedWindow> SharedWindow::map(int fd, uint64_t bytes, uint64_t offset, std::atomic<bool>& broken,
                                       bool writable) {
  auto page = check_file(fd, bytes, offset);
  if (!page) return page.error();
  install_handler();
  uint64_t from = offset / *page * *page, length = (offset + bytes - from + *page - 1) / *page * *page;
  void* at = mmap(nullptr, length, PROT_READ | PROT_WRITE, (writable ? MAP_SHARED : MAP_PRIVATE) | MAP_NORESERVE, fd,
                  off_t(from));
  if (at == MAP_FAILED) return Error::from_errno(errno, "shared memory: map " + std::to_string(length) + " bytes");
  madvise(at, length, MADV_DONTDUMP);
  SharedWindow window;
  window.map_ = static_cast<uint8_t*>(at);
  window.map_bytes_ = length;
  window.data_ = window.map_ + (offset - from);
  window.bytes_ = bytes;
  auto start = reinterpret_cast<uintptr_t>(at);
  window.slot_ = take_slot(start, start + length, broken);
  if (window.slot_ < 0) return Error{ENOSPC, "shared memory: more mappings than this process can watch over"};
  return window;
}

SharedWindow& SharedWindow::operator=(SharedWindow&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(map_, other.map_);
  std::swap(map_bytes_, other.map_bytes_);
  std::swap(slot_, other.slot_);
  return *this;
}

SharedWindow::~SharedWindow() {
  if (slot_ >= 0) slots[slot_].start.store(0, std::memory_order_release);
  if (map_) munmap(map_, map_bytes_);
}

}  // namespace unetmap::guest
