// SPDX-License-Identifier: BSD-2-Clause
#include "client/link/doorbells.hh"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>
#include <mutex>
#include <new>
#include <unordered_map>

#include "base/fd.hh"
#include "client/link/errors.hh"
#include "client/link/numbers.hh"
#include "client/link/rpc.hh"
#include "ring/probes.hh"

namespace unetmap::client {
namespace {

struct Doorbells {
  std::mutex mutex;
  std::unordered_map<uint32_t, UniqueFd> by_file;
};
Doorbells& doorbells();
void unlock_doorbells() { doorbells().mutex.unlock(); }
Doorbells& doorbells() {
  static Doorbells* the = [] {
    // A child finds the lock free, whichever thread held it in the parent.
    auto made = std::make_unique<Doorbells>();
    if (pthread_atfork([] { doorbells().mutex.lock(); }, unlock_doorbells, unlock_doorbells) != 0)
      throw std::bad_alloc();
    return made.release();
  }();
  return *the;
}

size_t doorbell_limit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return 100;
  return limit.rlim_cur / 2;
}

void ring(int fd) {
  uint64_t one = 1;
  syscall(SYS_write, fd, &one, sizeof one);
}

bool find_and_ring(uint32_t file, int connection) {
  Doorbells& all = doorbells();
  std::lock_guard hold(all.mutex);
  auto found = all.by_file.find(file);
  if (found == all.by_file.end()) {
    if (all.by_file.size() >= doorbell_limit()) return false;
    auto reply = ask(connection, wire::Op::kDoorbell, bytes_of(file));
    UniqueFd fd;
    if (reply && reply->fds.size() == 1)
      fd = move_high(std::move(reply->fds[0]));
    else if (!reply && reply.error().code == EMFILE)
      return false;
    // A file that is gone has none, and is remembered as such: it may stand in a list for long.
    found = all.by_file.emplace(file, std::move(fd)).first;
  }
  if (found->second) ring(found->second.get());
  return true;
}

// False if the file has no doorbell to be had.
bool ring_file(uint32_t file, int connection) {
  return unless_no_memory(false, [&] { return find_and_ring(file, connection); });
}

}  // namespace

void wake_waiters(WaitList& list, int connection, const wire::ResolveRequest& port) {
  auto ring_one = [&](uint32_t file) {
    probe::wake(file, port.port);
    return ring_file(file, connection);
  };
  if (!take_waiters(list, ring_one)) tell(connection, wire::Op::kRing, bytes_of(port));
}

bool wake_waiter(WaitList& list, int connection, uint16_t port) {
  const uint32_t file = take_waiter(list);
  if (file == 0) return true;
  probe::wake(file, port);
  if (ring_file(file, connection)) return true;
  add_waiter(list, file);
  return false;
}

void forget_doorbells() {
  Doorbells* known = unless_no_memory(static_cast<Doorbells*>(nullptr), [] { return &doorbells(); });
  if (!known) return;
  Doorbells& all = *known;
  std::lock_guard hold(all.mutex);
  for (auto& [file, fd] : all.by_file)
    if (fd) note_internal(fd.get(), false);
  all.by_file.clear();
}

}  // namespace unetmap::client
