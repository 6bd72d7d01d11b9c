// SPDX-License-Identifier: BSD-2-Clause
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

#include "client/kloop/kloop.hh"
#include "client/link/rpc.hh"
#include "client/state.hh"

namespace unetmap::client {

uint64_t coarse_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return uint64_t(now.tv_sec) * 1000 + uint64_t(now.tv_nsec) / 1000000;
}

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
  if (syscall(SYS_ppoll, &look, 1, &none, nullptr, 0) > 0 && (look.revents & (POLLHUP | POLLERR | POLLNVAL))) mark_dead();
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
  (void)ask(fd(), wire::Op::kUnbind, {}).has_value();
}

Result<std::unique_ptr<Bound>> Bound::make(Descriptor& owner, const wire::BindInfo& info, std::vector<UniqueFd>& fds) {
  if (fds.size() < wire::kBindFds) return Error{EPROTO, "unetmapd: registered, but without the descriptors for it"};
  std::unique_ptr<Bound> out(new Bound(owner, info));
  auto region = map_region(info.region, fds[wire::kPrivateFd].get(), fds[wire::kExchangeFd].get());
  if (!region) return region.error();
  auto sw = map_switch(fds[wire::kSwitchFd].get());
  if (!sw) return sw.error();
  out->region = *region;
  out->sw = *sw;
  out->doorbell = move_high(std::move(fds[wire::kDoorbellFd]));
  if (info.nic.kind != wire::NicKind::kNone) {
    auto nic = NicSockets::make(info, std::span(fds).subspan(wire::kBindFds), out->doorbell.get());
    if (!nic) return nic.error();
    out->nic = std::move(*nic);
  }
  for (uint32_t i = info.tx_first; i < info.tx_end; i++) out->tx.push_back(std::make_unique<TxRing>(*out, i));
  for (uint32_t i = info.rx_first; i < info.rx_end; i++) out->rx.push_back(std::make_unique<RxRing>(*out, i));
  // So that an interface has buffers to receive into before anybody asks.
  if (out->nic)
    for (auto& ring : out->rx) ring->sync();
  return out;
}

Bound::~Bound() {
  if (doorbell) note_internal(doorbell.get(), false);
}

void* map(Descriptor& d, void* addr, size_t length, int prot, int flags, off_t offset) noexcept {
  auto fail = [](int code, const char* text) {
    report_error(text);
    errno = code;
    return reinterpret_cast<void*>(-1);
  };
  Bound* bound = d.bound(true);
  if (!bound) return fail(d.dead() ? ENXIO : EINVAL, "mmap of a netmap descriptor: not registered; NIOCREGIF comes first");
  const wire::RegionInfo& info = bound->info.region;
  uint64_t total = info.app_bytes + uint64_t{info.nbufs} * info.buf_size;
  if (offset != 0 || length == 0 || length > ((total + 4095) & ~uint64_t{4095}))
    return fail(EINVAL, "mmap of a netmap descriptor: longer than the region's nr_memsize, or not from offset 0");
  int privates = bound->region->private_fd.get(), exchange = bound->region->exchange_fd.get();
  // One stretch of addresses: netmap_if and rings of the one memfd, then the buffers of the other.
  flags = (flags & ~(MAP_ANONYMOUS | MAP_PRIVATE)) | MAP_SHARED;
  long base = syscall(SYS_mmap, addr, length, PROT_NONE, (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base < 0 && base > -4096) return reinterpret_cast<void*>(-1);
  int fixed = (flags & ~MAP_FIXED_NOREPLACE) | MAP_FIXED;
  size_t first = std::min<size_t>(length, info.app_bytes);
  long a = syscall(SYS_mmap, base, first, prot, fixed, privates, 0), b = 0;
  if (a == base && length > first)
    b = syscall(SYS_mmap, base + long(first), length - first, prot, fixed, exchange, off_t(info.exchange_bytes));
  if (a != base || (b != 0 && b != base + long(first))) {
    int saved = errno;
    munmap(reinterpret_cast<void*>(base), length);
    errno = saved;
    return reinterpret_cast<void*>(-1);
  }
  return reinterpret_cast<void*>(base);
}

}  // namespace unetmap::client
