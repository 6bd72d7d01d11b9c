// SPDX-License-Identifier: BSD-2-Clause
// File descriptor number -> Descriptor, for this process.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <string_view>
#include <vector>

#include "client/descriptor/calls.hh"
#include "client/descriptor/descriptor.hh"
#include "client/descriptor/visits.hh"
#include "client/link/errors.hh"
#include "client/link/numbers.hh"
#include "client/link/rpc.hh"
#include "wire/channel.hh"

namespace unetmap::client {

namespace {

struct Table {
  std::mutex mutex;
  std::map<int, DescriptorRef> by_number;
  // Those that were closed and not freed yet: another thread may be inside a call on one.
  std::vector<DescriptorRef> closed;
};
constexpr size_t kMostClosed = 8, kMostUnasked = 64;
Table& table();
void after_fork() {
  for (auto& entry : table().by_number) entry.second->shared.store(true, std::memory_order_relaxed);
  table().mutex.unlock();
}
Table& table() {
  static Table* the = [] {
    auto made = std::make_unique<Table>();
    // A child must find the lock free, whoever held it in the parent.
    auto in_child = [] {
      forget_other_visits();
      after_fork();
    };
    if (pthread_atfork([] { table().mutex.lock(); }, after_fork, in_child) != 0) throw std::bad_alloc();
    return made.release();
  }();
  return *the;
}
// Null where there is no memory to make it: then there was none, and nobody in it.
Table* table_if_any() {
  return unless_no_memory(static_cast<Table*>(nullptr), [] { return &table(); });
}

// Connected to a daemon of ours? By the address of the peer: the path we would use, or one named after unetmapd. The
// raw system calls: the library stands in front of the others. Nearly every descriptor is told from ours by the first
// one.
bool looks_like_ours(int fd) {
  int type = 0;
  socklen_t type_bytes = sizeof type;
  if (syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &type_bytes) < 0 || type != SOCK_SEQPACKET) return false;
  sockaddr_un peer;
  socklen_t bytes = sizeof peer;
  if (syscall(SYS_getpeername, fd, &peer, &bytes) < 0 || peer.sun_family != AF_UNIX) return false;
  if (bytes <= offsetof(sockaddr_un, sun_path) || peer.sun_path[0] == 0) return false;
  const std::string_view path(peer.sun_path, strnlen(peer.sun_path, sizeof peer.sun_path));
  const size_t slash = path.rfind('/');
  const std::string_view file = slash == std::string_view::npos ? path : path.substr(slash + 1);
  return file.find("unetmap") != std::string_view::npos || wire::is_default_socket_path(path);
}

// What a descriptor was opened for is written down in its socket, so that it goes along with each copy. The option has
// no other meaning for a connection of this kind.
constexpr int kForReading = 1, kForWriting = 2;

void write_down_mode(int fd, int flags) {
  const int mode = (flags & O_ACCMODE) == O_RDONLY ? kForReading : (flags & O_ACCMODE) == O_WRONLY ? kForWriting : 0;
  if (mode != 0) syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_PRIORITY, &mode, sizeof mode);
}

// With the table's lock. What had that number meanwhile is closed, and like all closed ones somebody may be inside.
void put(Table& all, int fd, const DescriptorRef& descriptor) {
  all.closed.reserve(all.closed.size() + all.by_number.size() + 1);  // for each of them: closing takes no memory
  DescriptorRef& place = all.by_number[fd];
  if (place && place->remove_number(fd)) all.closed.push_back(place);
  place = descriptor;
  set_number(fd, reinterpret_cast<uintptr_t>(descriptor.get()));
}

DescriptorRef adopt(int fd) {
  auto made = std::make_shared<Descriptor>(fd);
  Table& all = table();
  std::lock_guard hold(all.mutex);
  put(all, fd, made);
  return made;
}

// One that was not opened here. Another thread may have come first.
DescriptorRef adopt_found(int fd) {
  auto made = std::make_shared<Descriptor>(fd);
  Table& all = table();
  std::lock_guard hold(all.mutex);
  if (auto known = all.by_number.find(fd); known != all.by_number.end()) return known->second;
  put(all, fd, made);
  return made;
}

// Of the closed ones, with the table's lock: those that no thread can be in a call on. The caller frees them without it.
std::vector<DescriptorRef> left_by_all(std::vector<DescriptorRef>& closed) {
  std::vector<DescriptorRef> out;
  if (closed.size() <= kMostClosed) return out;
  if (await_visits()) {
    auto inside = std::stable_partition(closed.begin(), closed.end(), [](auto& each) { return visited(each.get()); });
    out.assign(std::make_move_iterator(inside), std::make_move_iterator(closed.end()));
    closed.erase(inside, closed.end());
  } else if (closed.size() > kMostUnasked) {  // a kernel that cannot tell: who is in a call has long left it by now
    out.push_back(std::move(closed.front()));
    closed.erase(closed.begin());
  }
  return out;
}

}  // namespace

bool maybe_netmap(int fd) noexcept {
  uintptr_t value = get_number(fd);
  return fd >= 0 && value != kOther && value != kInternal;
}

namespace {

int open_and_keep(int flags) {
  int socket_flags = (flags & O_CLOEXEC ? SOCK_CLOEXEC : 0) | (flags & O_NONBLOCK ? SOCK_NONBLOCK : 0);
  auto fd = connect_daemon(socket_flags);
  if (!fd) {
    report_error((std::string("open " NETMAP_DEVICE_NAME ": ") + fd.error().text).c_str());
    errno = fd.error().code == ENOENT || fd.error().code == ECONNREFUSED ? ENXIO : fd.error().code;
    return -1;
  }
  write_down_mode(fd->get(), flags);
  adopt(fd->get());
  return fd->release();
}

}  // namespace

int open_device(int flags) noexcept {
  return unless_no_memory(-1, [&] { return open_and_keep(flags); });
}

int access_mode(int fd) noexcept {
  const int saved = errno;
  int mode = 0;
  socklen_t bytes = sizeof mode;
  if (syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_PRIORITY, &mode, &bytes) < 0) mode = 0;
  errno = saved;
  return mode == kForReading ? O_RDONLY : mode == kForWriting ? O_WRONLY : O_RDWR;
}

bool is_netmap(int fd) noexcept {
  uintptr_t value = get_number(fd);
  if (value != kUnknown) return value != kOther && value != kInternal;
  int saved = errno;
  bool ours = unless_no_memory(false, [&] { return fd >= 0 && looks_like_ours(fd); });
  errno = saved;
  return ours;
}

bool unknown_for_want_of_memory(int fd) noexcept {
  if (get_number(fd) != kUnknown || (fd >= kMaxNumbers && find(fd)) || !is_netmap(fd)) return false;
  errno = ENOMEM;
  return true;
}

void note_opened(int fd) noexcept {
  uintptr_t unknown = kUnknown;
  if (fd < kMaxNumbers) numbers[fd].compare_exchange_strong(unknown, kOther, std::memory_order_acq_rel);
}

void note_other(int fd) noexcept {
  int saved = errno;
  uintptr_t unknown = kUnknown;
  if (fd >= 0 && fd < kMaxNumbers && syscall(SYS_fcntl, fd, F_GETFD) >= 0)
    numbers[fd].compare_exchange_strong(unknown, kOther, std::memory_order_acq_rel);
  errno = saved;
}

namespace {

DescriptorRef find_or_adopt(int fd) {
  Table& all = table();
  {
    std::lock_guard hold(all.mutex);
    auto known = all.by_number.find(fd);
    if (known != all.by_number.end()) return known->second;
  }
  DescriptorRef out;
  if (looks_like_ours(fd))
    out = adopt_found(fd);
  else if (syscall(SYS_fcntl, fd, F_GETFD) >= 0)
    set_number(fd, kOther);
  return out;
}

}  // namespace

DescriptorRef find(int fd) noexcept {
  if (!maybe_netmap(fd)) return nullptr;
  int saved = errno;
  DescriptorRef out = unless_no_memory(DescriptorRef(), [&] { return find_or_adopt(fd); });
  errno = saved;
  return out;
}

Descriptor* peek(int fd) noexcept {
  for (;;) {
    uintptr_t value = get_number(fd);
    if (value == kOther || value == kInternal) return nullptr;
    DescriptorRef looked_up;
    if (value == kUnknown) [[unlikely]] {
      looked_up = find(fd);
      if (!looked_up) return nullptr;
      if (fd < kMaxNumbers) value = reinterpret_cast<uintptr_t>(looked_up.get());
    }
    auto* d = looked_up ? looked_up.get() : reinterpret_cast<Descriptor*>(value);
    visit(d);
    // Whoever closes it takes the number away first, and asks for visits later.
    if (get_number(fd) == value) [[likely]]
      return d;
  }
}

void forget(int fd) noexcept {
  uintptr_t value = get_number(fd);
  if (value == kOther || (value == kUnknown && fd < kMaxNumbers)) return set_number(fd, kUnknown);
  Table* const the = table_if_any();
  if (!the) return;
  Table& all = *the;
  DescriptorRef gone;
  std::vector<DescriptorRef> left;
  {
    std::lock_guard hold(all.mutex);
    set_number(fd, kUnknown);
    auto known = all.by_number.find(fd);
    if (known == all.by_number.end()) return;
    gone = std::move(known->second);
    all.by_number.erase(known);
    if (!gone->remove_number(fd)) return;
    all.closed.push_back(gone);
    left = unless_no_memory(std::vector<DescriptorRef>(), [&] { return left_by_all(all.closed); });
  }
  gone->closing(fd);
}

void duplicated(int from, int to) noexcept {
  forget(to);
  if (get_number(from) == kOther) return set_number(to, kOther);
  Table* const the = table_if_any();
  if (!the) return;
  Table& all = *the;
  std::lock_guard hold(all.mutex);
  auto known = all.by_number.find(from);
  if (known == all.by_number.end()) return set_number(to, kUnknown);
  const DescriptorRef same = known->second;
  // Else it is met as one that was not opened here.
  unless_no_memory(false, [&] {
    same->expect_number();
    put(all, to, same);
    same->add_number(to);
    return true;
  });
}

void received(int fd) noexcept { forget(fd); }

}  // namespace unetmap::client
