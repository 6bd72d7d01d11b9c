// SPDX-License-Identifier: BSD-2-Clause
#include "shim/epoll_sets.hh"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <new>

#include "shim/deadline.hh"
#include "shim/epoll_set.hh"
#include "shim/next.hh"

namespace unetmap::shim {
namespace {

constexpr int kMaxDepth = 6;  // the kernel nests epoll sets no deeper

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
constinit std::atomic<uint32_t> active_sets{0};
constinit std::atomic<uint32_t> nested_sleepers{0};

// Keeps a set from being used for another epoll instance meanwhile.
class SetRef {
 public:
  explicit SetRef(int epfd) {
    while ((set_ = table.at(epfd))) {
      set_->users.fetch_add(1, std::memory_order_seq_cst);
      if (table.at(epfd) == set_) return;
      set_->users.fetch_sub(1, std::memory_order_release);
    }
  }
  ~SetRef() {
    if (set_) set_->users.fetch_sub(1, std::memory_order_release);
  }
  SetRef(const SetRef&) = delete;
  SetRef& operator=(const SetRef&) = delete;
  explicit operator bool() const { return set_ != nullptr; }
  EpollSet* operator->() const { return set_; }
  EpollSet& operator*() const { return *set_; }

 private:
  EpollSet* set_;
};

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
void keep_sets_over_fork() {
  static const int once = pthread_atfork(lock_sets, unlock_sets, unlock_sets_in_child);
  (void)once;
}
void keep_list_over_fork() {
  static const int once =
      pthread_atfork([] { list_mutex.lock(); }, [] { list_mutex.unlock(); }, [] { list_mutex.unlock(); });
  (void)once;
}

// With the set's mutex held: somebody may sleep on what has just changed.
void wake_sleepers(EpollSet& set) {
  if (set.sleepers.load(std::memory_order_relaxed) || nested_sleepers.load(std::memory_order_relaxed))
    set.ring_own_bell();
}

void refresh(EpollSet& set, int depth);

void refresh_children(EpollSet& set, int depth) {
  if (set.children.load(std::memory_order_relaxed) == 0 || depth >= kMaxDepth) return;
  for (size_t i = 0;; i++) {
    EpollSet::Child child;
    {
      std::lock_guard hold(set.mutex);
      if (i >= set.child_list.size()) return;
      child = set.child_list[i];
    }
    SetRef ref(child.fd);
    if (ref && &*ref == child.set && ref->life.load(std::memory_order_relaxed) == child.life) refresh(*ref, depth + 1);
  }
}

void refresh(EpollSet& set, int depth) {
  refresh_children(set, depth);
  if (!set.active.load(std::memory_order_acquire)) return;
  std::lock_guard hold(set.mutex);
  if (set.any_due()) {
    set.ring_own_bell();
    return;
  }
  set.take_bells();
  set.arm(kForever);
  if (set.any_due()) set.ring_own_bell();
}

// One thread's wait on one set.
class SetWait {
 public:
  SetWait(EpollSet& set, int epfd, epoll_event* events, int max) : set_(set), epfd_(epfd), events_(events), max_(max) {}
  // Hands on what it took: the bells wake one sleeper of a set only, and it may not have been for us.
  ~SetWait() {
    if (!took_bells_ || set_.sleepers.load(std::memory_order_relaxed) == 0) return;
    std::lock_guard hold(set_.mutex);
    set_.ring_own_bell();
  }
  SetWait(const SetWait&) = delete;
  SetWait& operator=(const SetWait&) = delete;

  // What is ready now, of members and others.
  int look();
  // Spins if the set is one descriptor for which that pays; what is ready then.
  int spin();
  // Sleeps once; what is ready then, possibly 0 before the time is over. -1 with errno.
  int sleep(int64_t left_ns, const sigset_t* sigmask);

 private:
  int members(int have);
  int kernel_now(int have);
  int without_tags(int from, int count);

  EpollSet& set_;
  const int epfd_;
  epoll_event* events_;
  const int max_;
  bool took_bells_ = false;
};

int SetWait::members(int have) {
  if (have >= max_) return 0;
  std::lock_guard hold(set_.mutex);
  return set_.collect(events_ + have, max_ - have);
}

int SetWait::without_tags(int from, int count) {
  uint64_t tag = epoll_tag();
  int kept = from;
  for (int i = from; i < from + count; i++)
    if (events_[i].data.u64 != tag) events_[kept++] = events_[i];
  kept -= from;
  if (kept != count) {
    std::lock_guard hold(set_.mutex);
    took_bells_ |= set_.take_bells();
  }
  return kept;
}

int SetWait::kernel_now(int have) {
  if (have >= max_ || set_.others.load(std::memory_order_relaxed) == 0) return 0;
  refresh_children(set_, 0);
  int n = int(syscall(SYS_epoll_pwait, epfd_, events_ + have, max_ - have, 0, nullptr, 0));
  return n <= 0 ? 0 : without_tags(have, n);
}

int SetWait::look() {
  // In turns, so that with few places neither keeps the other out.
  static std::atomic<uint32_t> turn{0};
  if (set_.others.load(std::memory_order_relaxed) && (turn.fetch_add(1, std::memory_order_relaxed) & 1)) {
    int n = kernel_now(0);
    return n + members(n);
  }
  int n = members(0);
  return n + kernel_now(n);
}

int SetWait::spin() {
  if (set_.others.load(std::memory_order_relaxed)) return 0;
  short wanted = 0;
  client::DescriptorRef only;
  {
    std::lock_guard hold(set_.mutex);
    only = set_.only_member(&wanted);
  }
  return only && client::spin(*only, wanted) ? members(0) : 0;
}

int SetWait::sleep(int64_t left_ns, const sigset_t* sigmask) {
  struct Sleeper {
    EpollSet& set;
    explicit Sleeper(EpollSet& set) : set(set) { set.sleepers.fetch_add(1, std::memory_order_seq_cst); }
    ~Sleeper() { set.sleepers.fetch_sub(1, std::memory_order_seq_cst); }
  } sleeper(set_);
  NestedSleep in_nested(set_.children.load(std::memory_order_relaxed) != 0);
  refresh_children(set_, 0);
  {
    std::lock_guard hold(set_.mutex);
    left_ns = set_.arm(left_ns);
    if (int n = set_.collect(events_, max_)) return n;
  }
  int n;
  if (left_ns < 0 || !next::epoll_pwait2.get()) {
    n = next::epoll_pwait(epfd_, events_, max_, ms_not_below(left_ns), sigmask);
  } else {
    timespec timeout = timespec_of(left_ns);
    n = next::epoll_pwait2(epfd_, events_, max_, &timeout, sigmask);
    if (n < 0 && errno == ENOSYS) n = next::epoll_pwait(epfd_, events_, max_, ms_not_below(left_ns), sigmask);
  }
  if (n <= 0) return n;
  n = without_tags(0, n);
  return n + members(n);
}

}  // namespace

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

int control_member(int epfd, int op, int fd, client::Descriptor& d, const epoll_event* event) {
  if ((op == EPOLL_CTL_ADD || op == EPOLL_CTL_MOD) && !event) {
    errno = EFAULT;
    return -1;
  }
  bool unknown = op == EPOLL_CTL_ADD && !is_epoll_number(epfd);
  // Inherited, or made by a system call that we did not see. The kernel will say whether it is one at all.
  if (unknown) epoll_set_created(epfd);
  int result;
  {
    SetRef set(epfd);
    if (!set) return next::epoll_ctl(epfd, op, fd, const_cast<epoll_event*>(event));
    keep_sets_over_fork();
    int saved_errno = errno;
    std::lock_guard hold(set->mutex);
    if (op == EPOLL_CTL_ADD)
      result = set->add(epfd, fd, d, *event);
    else if (op == EPOLL_CTL_MOD)
      result = set->modify(fd, d, *event);
    else if (op == EPOLL_CTL_DEL)
      result = set->remove(fd, d);
    else
      errno = EINVAL, result = -1;
    if (result == 0) {
      errno = saved_errno;
      if (unknown) set->others.store(1 << 30, std::memory_order_relaxed);
      if (!set->active.exchange(true, std::memory_order_acq_rel)) {
        active_sets.fetch_add(1, std::memory_order_seq_cst);
        // Threads may sleep in the kernel on what was its set alone, and did not say so.
        set->ring_own_bell();
      }
      wake_sleepers(*set);
      return 0;
    }
  }
  if (unknown) epoll_number_closed(epfd);
  // What was put there before this library was: the kernel's own.
  if (errno == ENOENT && op != EPOLL_CTL_ADD) return next::epoll_ctl(epfd, op, fd, const_cast<epoll_event*>(event));
  return result;
}

void note_other(int epfd, int op, int fd) noexcept {
  if (op != EPOLL_CTL_ADD && op != EPOLL_CTL_DEL) return;
  SetRef set(epfd);
  if (!set) return;
  KeepErrno keep;
  if (op == EPOLL_CTL_ADD)
    set->others.fetch_add(1, std::memory_order_relaxed);
  else if (set->others.load(std::memory_order_relaxed) > 0)
    set->others.fetch_sub(1, std::memory_order_relaxed);
  SetRef child(fd);
  if (!child) return;
  std::lock_guard hold(set->mutex);
  std::erase_if(set->child_list, [&](const EpollSet::Child& c) { return c.fd == fd; });
  if (op == EPOLL_CTL_ADD) {
    try {
      set->child_list.push_back({fd, &*child, child->life.load(std::memory_order_relaxed)});
    } catch (const std::bad_alloc&) {
      // Then a wait on the outer set only learns of the inner one when its doorbells ring.
    }
  }
  set->children.store(uint32_t(set->child_list.size()), std::memory_order_relaxed);
}

void note_registered(client::Descriptor& d) noexcept {
  if (active_sets.load(std::memory_order_seq_cst) == 0) return;
  for (EpollSet* set = all_sets.load(std::memory_order_acquire); set; set = set->next) {
    if (!set->active.load(std::memory_order_acquire)) continue;
    std::lock_guard hold(set->mutex);
    if (set->registered(d)) wake_sleepers(*set);
  }
}

bool epoll_set_active(int epfd) noexcept {
  if (active_sets.load(std::memory_order_relaxed) == 0) return false;
  EpollSet* set = table.at(epfd);
  return set && (set->active.load(std::memory_order_acquire) || set->children.load(std::memory_order_relaxed));
}

void refresh_epoll_set(int epfd) noexcept {
  KeepErrno keep;
  SetRef set(epfd);
  if (set) refresh(*set, 0);
}

int wait_on_set(int epfd, epoll_event* events, int max_events, int64_t timeout_ns, const sigset_t* sigmask) {
  SetRef set(epfd);
  if (!set || max_events <= 0 || !events)
    return next::epoll_pwait(epfd, events, max_events, ms_not_below(timeout_ns), sigmask);
  int saved_errno = errno;
  Deadline deadline(timeout_ns);
  SetWait wait(*set, epfd, events, max_events);
  for (;;) {
    int n = wait.look();
    if (n == 0 && !deadline.immediate()) n = wait.spin();
    int64_t left = n == 0 ? deadline.left() : 0;
    if (n == 0 && left == 0 && sigmask) {
      // Nothing to report: a signal that only `sigmask` lets through comes first.
      timespec none{};
      if (next::ppoll(nullptr, 0, &none, sigmask) < 0) return -1;
    }
    if (n == 0 && left != 0) n = wait.sleep(left, sigmask);
    if (n < 0) return -1;
    if (n > 0 || left == 0) {
      errno = saved_errno;
      return n;
    }
  }
}

int strip_tags(epoll_event* events, int count) noexcept {
  uint64_t tag = epoll_tag();
  int kept = 0;
  for (int i = 0; i < count; i++)
    if (events[i].data.u64 != tag) events[kept++] = events[i];
  return kept;
}

NestedSleep::NestedSleep(bool really) noexcept : really_(really) {
  if (really_) nested_sleepers.fetch_add(1, std::memory_order_seq_cst);
}
NestedSleep::~NestedSleep() {
  if (really_) nested_sleepers.fetch_sub(1, std::memory_order_seq_cst);
}

}  // namespace unetmap::shim
