// SPDX-License-Identifier: BSD-2-Clause
#include "client/descriptor/descriptor.hh"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include "client/descriptor/csb.hh"
#include "client/link/clock.hh"
#include "client/link/errors.hh"
#include "client/link/rpc.hh"

namespace unetmap::client {

void Descriptor::expect_number() { numbers_.reserve(numbers_.size() + 1); }
void Descriptor::add_number(int fd) { numbers_.push_back(fd); }

bool Descriptor::remove_number(int fd) {
  std::erase(numbers_, fd);
  if (numbers_.empty()) {
    fd_.store(-1, std::memory_order_relaxed);
    return true;
  }
  fd_.store(numbers_.front(), std::memory_order_relaxed);
  return false;
}

// This process lets go of it. Only the daemon knows whether that was the last copy anywhere; if so the hang-up that
// follows ends the binding, and the goodbye before it says that nothing was left half done.
void Descriptor::closing(int fd) {
  if (!bound_now()) return;
  end_kloop(*bound_now());
  if (!shared.load(std::memory_order_relaxed)) bound_now()->note_abandoned();
  bound_now()->close_nic();
  if (dead()) return;
  if (!shared.load(std::memory_order_relaxed)) tell(fd, wire::Op::kGoodbye, {});
  uint64_t one = 1;
  syscall(SYS_write, bound_now()->doorbell.get(), &one, sizeof one);
}

bool Descriptor::daemon_alive() {
  if (dead()) return false;
  uint64_t now = coarse_ms();
  if (now - alive_checked_ms_.load(std::memory_order_relaxed) < 40) return true;
  alive_checked_ms_.store(now, std::memory_order_relaxed);
  pollfd look{fd(), 0, 0};
  timespec none{};
  if (syscall(SYS_ppoll, &look, 1, &none, nullptr, 0) > 0 && (look.revents & (POLLHUP | POLLERR | POLLNVAL)))
    mark_dead();
  return !dead();
}

void Descriptor::mark_dead() {
  if (dead_.exchange(true)) return;
  report_error("unetmapd: the daemon is gone; close this descriptor and open " NETMAP_DEVICE_NAME
               " again, which starts a new one");
}

Bound* Descriptor::bound(bool ask_daemon) {
  Bound* known = bound_now();
  if (known || !ask_daemon) return known;
  auto reply = ask(fd(), wire::Op::kDescribe, {});
  if (!reply) {
    if (reply.error().code == ENXIO) mark_dead();
    return nullptr;
  }
  if (!reply->has_bind) return nullptr;
  auto bound = bind(reply->bind, reply->fds);
  if (!bound) report_error(bound.error().text.c_str());
  return bound ? *bound : nullptr;
}

Result<Bound*> Descriptor::bind(const wire::BindInfo& info, std::vector<UniqueFd>& fds) {
  std::lock_guard hold(control_mutex);
  if (Bound* known = bound_now()) return known;
  unbound_.reserve(unbound_.size() + 1);  // for unbind(), which is to need no memory
  auto made = Bound::make(*this, info, fds);
  if (!made) return made.error();
  bound_owner_ = std::move(*made);
  bound_.store(bound_owner_.get(), std::memory_order_release);
  return bound_owner_.get();
}

void Descriptor::unbind() {
  std::lock_guard hold(control_mutex);
  if (Bound* known = bound_now()) {
    known->close_nic();
    bound_.store(nullptr, std::memory_order_release);
    unbound_.push_back(std::move(bound_owner_));
  }
  tell_and_wait(fd(), wire::Op::kUnbind);
}

}  // namespace unetmap::client
