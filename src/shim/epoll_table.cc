// SPDX-License-Identifier: BSD-2-Clause
#include "shim/epoll_table.hh"

#include <pthread.h>

#include <new>

#include "shim/epoll_sets.hh"
#include "shim/next.hh"

namespace unetmap::shim {

constinit std::atomic<uint32_t> active_sets{0};
constinit std::atomic<uint32_t> nested_sleepers{0};

namespace {

// Number -> set. Chunks are made when needed and stay.
class Table {
 public:
  EpollSet* at(int fd) const {
    std::atomic<EpollSet*>* entry = find(fd);
    return entry ? entry->load(std::memory_order_seq_cst) : nullptr;
  }
  // Returns what was there.
  EpollSet* put(int fd, EpollSet* set) {
    std::atomic<EpollSet*>* entry = find(fd);
    if (!entry && set) entry = make(fd);
    return entry ? entry->exchange(set, std::memory_order_seq_cst) : nullptr;
  }
  bool can_hold(int fd) { return fd >= 0 && (find(fd) || make(fd)); }

 private:
  static constexpr int kChunk = 1024, kChunks = 1024;
  std::atomic<EpollSet*>* find(int fd) const {
    if (fd < 0 || fd >= kChunk * kChunks) return nullptr;
    std::atomic<EpollSet*>* chunk = chunks_[fd / kChunk].load(std::memory_order_acquire);
    return chunk ? chunk + fd % kChunk : nullptr;
  }
  std::atomic<EpollSet*>* make(int fd) {
    if (fd < 0 || fd >= kChunk * kChunks) return nullptr;
    auto* chunk = new (std::nothrow) std::atomic<EpollSet*>[kChunk]();
    if (!chunk) return nullptr;
    std::atomic<EpollSet*>* there = nullptr;
    if (!chunks_[fd / kChunk].compare_exchange_strong(there, chunk, std::memory_order_acq_rel)) delete[] chunk;
    return find(fd);
  }
  std::atomic<std::atomic<EpollSet*>*> chunks_[kChunks];
};

constinit Table table;
constinit std::mutex list_mutex;  // for making sets and using them again; nothing else is locked while it is
constinit std::atomic<EpollSet*> all_sets{nullptr};

EpollSet* fresh_set() {
  std::lock_guard hold(list_mutex);
  for (EpollSet* set = all_sets.load(std::memory_order_relaxed); set; set = set->next) {
    if (set->numbers.load(std::memory_order_acquire) != 0 || set->users.load(std::memory_order_seq_cst) != 0) continue;
    set->numbers.store(1, std::memory_order_relaxed);
    set->life.fetch_add(1, std::memory_order_relaxed);
    return set;
  }
  auto* set = new (std::nothrow) EpollSet;
  if (!set) return nullptr;
  set->numbers.store(1, std::memory_order_relaxed);
  set->next = all_sets.load(std::memory_order_relaxed);
  all_sets.store(set, std::memory_order_release);
  return set;
}

// Keeps a set that is being emptied from being used again.
constexpr uint32_t kClosing = uint32_t{1} << 30;

void number_gone(EpollSet* set) {
  if (!set) return;
  uint32_t numbers = set->numbers.load(std::memory_order_relaxed);
  while (
      !set->numbers.compare_exchange_weak(numbers, numbers == 1 ? kClosing : numbers - 1, std::memory_order_acq_rel)) {
  }
  if (numbers != 1) return;
  {
    std::lock_guard hold(set->mutex);
    if (set->active.load(std::memory_order_relaxed)) active_sets.fetch_sub(1, std::memory_order_relaxed);
    set->clear();
  }
  set->numbers.fetch_sub(kClosing, std::memory_order_acq_rel);
}

// Before a fork the sets' locks are taken before those of src/client, the order of collect(): handlers run last
// registered first, and ours is registered when the first set gets a netmap member, src/client's before that.
EpollSet* locked_sets = nullptr;  // the list as it was before the fork
void lock_sets() {
  locked_sets = all_sets.load(std::memory_order_acquire);
  for (EpollSet* set = locked_sets; set; set = set->next) set->mutex.lock();
}
void unlock_sets() {
  for (EpollSet* set = locked_sets; set; set = set->next) set->mutex.unlock();
}
void unlock_sets_in_child() {
  unlock_sets();
  EpollSet* set = all_sets.load(std::memory_order_relaxed);
  for (; set != locked_sets; set = set->next) new (&set->mutex) std::mutex;
  // The threads that were in the parent's sets are not here.
  for (set = all_sets.load(std::memory_order_relaxed); set; set = set->next) {
    set->users.store(0, std::memory_order_relaxed);
    set->sleepers.store(0, std::memory_order_relaxed);
  }
  nested_sleepers.store(0, std::memory_order_relaxed);
}
void keep_list_over_fork() {
  static const int once =
      pthread_atfork([] { list_mutex.lock(); }, [] { list_mutex.unlock(); }, [] { list_mutex.unlock(); });
  (void)once;
}

}  // namespace

EpollSet* epoll_set_at(int fd) noexcept { return table.at(fd); }
EpollSet* first_epoll_set() noexcept { return all_sets.load(std::memory_order_acquire); }

void keep_sets_over_fork() noexcept {
  static const int once = pthread_atfork(lock_sets, unlock_sets, unlock_sets_in_child);
  (void)once;
}
void epoll_set_created(int epfd) noexcept {
  KeepErrno keep;
  keep_list_over_fork();
  if (!table.can_hold(epfd)) return;
  EpollSet* set = fresh_set();
  if (set) number_gone(table.put(epfd, set));
}

void epoll_number_closed(int fd) noexcept {
  if (!table.at(fd)) return;
  KeepErrno keep;
  number_gone(table.put(fd, nullptr));
}

void epoll_number_duplicated(int from, int to) noexcept {
  if (from == to) return;
  KeepErrno keep;
  SetRef set(from);
  if (set && table.can_hold(to)) {
    set->numbers.fetch_add(1, std::memory_order_acq_rel);
    number_gone(table.put(to, &*set));
  } else {
    epoll_number_closed(to);
  }
}

bool is_epoll_number(int fd) noexcept { return table.at(fd) != nullptr; }

}  // namespace unetmap::shim
