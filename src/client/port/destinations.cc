// SPDX-License-Identifier: BSD-2-Clause
#include "client/port/destinations.hh"

#include <sched.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "client/link/clock.hh"
#include "client/link/doorbells.hh"
#include "client/link/errors.hh"
#include "client/link/numbers.hh"
#include "client/link/rpc.hh"
#include "client/memory/user_memory.hh"
#include "ring/sync_mark.hh"

namespace unetmap::client {

void Destinations::refresh(vale::Dest*& kept) {
  SwitchShared* shared = port_.sw->shared();
  uint32_t topology = shared->topology.load(std::memory_order_relaxed);
  if (topology == topology_) return;
  topology_ = topology;
  refused_.clear();
  std::erase_if(mapped_, [&](uint16_t port) {
    Target& target = *targets_[port];
    if (shared->port[port].generation.load(std::memory_order_relaxed) == target.dest.generation) return false;
    if (kept == &target.dest) kept = nullptr;
    targets_[port].reset();
    return true;
  });
  forget_doorbells();
}

void Destinations::note_sync() {
  constexpr uint32_t kMuch = 1024;  // syncs
  if (++syncs_ % kMuch != 0 || mapped_.size() > 8) return;
  auto buffers = [](const wire::PortInfo& port) {
    return 2 + port.tx_rings * port.tx_slots + port.rx_rings * port.rx_slots;
  };
  // The global region is too big to say what is in use.
  if (port_.info.region.id != 1) port_.region->note_busy(buffers(port_.info.port));
  for (uint16_t port : mapped_)
    if (Target& target = *targets_[port]; target.region->info.id != 1) target.region->note_busy(target.buffers);
}

Result<std::unique_ptr<Destinations::Target>> Destinations::map_target(uint16_t port, uint32_t generation) {
  wire::ResolveRequest request{generation, port, 0};
  auto reply = ask(port_.connection.fd(), wire::Op::kResolve, bytes_of(request));
  if (!reply) return reply.error();
  wire::DestInfo info;
  if (reply->body.size() != sizeof info || reply->fds.size() != 1) return Error{EPROTO, "unetmapd: odd reply"};
  memcpy(&info, reply->body.data(), sizeof info);
  auto region = map_region(info.region, -1, reply->fds[0].get());
  if (!region) return region.error();
  if (info.port.rx_rings == 0 || info.port.rx_slots < 2) return Error{EPROTO, "unetmapd: port without receive rings"};
  auto target = std::make_unique<Target>();
  target->region = *region;
  target->buffers = 2 + info.port.tx_rings * info.port.tx_slots + info.port.rx_rings * info.port.rx_slots;
  vale::Dest& dest = target->dest;
  dest.generation = generation;
  dest.port = port;
  dest.buf_size = info.region.buf_size;
  dest.bufs = target->region->bufs();
  dest.takes_buffers = info.port.flags & kPortZeroCopy;
  dest.exchanges = info.port.flags & kPortExchanges;
  for (uint32_t r = 0; r < info.port.rx_rings; r++) {
    vale::ExchangeShape shape{info.port.rx_slots - 1, info.port.rx_base_buf + r * info.port.rx_base_stride,
                              info.region.nbufs, info.region.buf_size, info.port.offset_mask != 0};
    uint64_t at = info.port.exchange_ofs + r * info.port.exchange_stride;
    if (at + vale::exchange_bytes(shape.cells) > info.region.exchange_bytes)
      return Error{EPROTO, "unetmapd: exchange outside of its region"};
    dest.rings.emplace_back(target->region->exchange.data() + at, shape);
  }
  return target;
}

// Without memory for it, what was to go there is lost, and the next packet tries again.
vale::Dest* Destinations::resolve(uint16_t port, uint32_t generation) {
  return unless_no_memory(static_cast<vale::Dest*>(nullptr), [&] { return look_up(port, generation); });
}

vale::Dest* Destinations::look_up(uint16_t port, uint32_t generation) {
  if (port < targets_.size() && targets_[port] && targets_[port]->dest.generation == generation)
    return &targets_[port]->dest;
  for (auto& [p, g] : refused_)
    if (p == port && g == generation) return nullptr;
  auto target = map_target(port, generation);
  if (!target) {
    // ESTALE: it went while we asked.
    if (target.error().code != ESTALE)
      report_error((std::string(port_.info.name) + ": cannot send to port " + std::to_string(port) +
                    " of its switch: " + target.error().text)
                       .c_str());
    if (refused_.size() > 256) refused_.clear();
    refused_.push_back({port, generation});
    return nullptr;
  }
  if (targets_.empty()) targets_.resize(kMaxPorts);
  mapped_.reserve(mapped_.size() + 1);
  if (!targets_[port]) {
    mapped_.push_back(port);
    targets_[port] = std::move(*target);
  } else {
    // In place: somebody may remember the Dest.
    *targets_[port] = std::move(**target);
  }
  return &targets_[port]->dest;
}

void Destinations::wake(RxExchange& ring, vale::Dest& dest) {
  // They run some tens of microseconds from now, and want to know then since when there is something.
  ring.rung_ns.store(realtime_ns(), std::memory_order_relaxed);
  wake_waiters(ring.readers, port_.connection.fd(), {dest.generation, dest.port, 0});
}

void Destinations::pass_on(const vale::Exchange& ring, uint16_t port) {
  if (somebody_waits(ring.shared().writers) && ring.free_cells() > 0)
    (void)wake_waiter(ring.shared().writers, port_.connection.fd(), port);
}

void Destinations::enter(std::atomic<uint32_t>& seq) {
  seq_ = &seq;
  enter_sync(seq);
}

void Destinations::leave() {
  if (seq_) leave_sync(*seq_);
}

// A receiver that runs on this very processor can make room only while we do not: sleep until it has, or for a moment.
// (Not sched_yield: on some kernels who yields often pushes everybody else far back in the queue.) One that runs
// elsewhere, or never ran, is left to itself, and loses packets as VALE's rule is.
void Destinations::relieve(vale::Dest& dest, const vale::Exchange& ex, bool empty_handed) {
  // Beyond the next tick: a timer that is to go off first is written to the hardware, which is dear in a virtual
  // machine.
  constexpr long kMoment_ns = 5'000'000;
  uint32_t theirs = ex.shared().receiver_cpu.load(std::memory_order_relaxed);
  if (!empty_handed || theirs != uint32_t(sched_getcpu()) + 1) return;
  if (!relief_) {
    relief_ = move_high(UniqueFd(int(syscall(SYS_epoll_create1, EPOLL_CLOEXEC))));
    epoll_event event{EPOLLIN | EPOLLET, {}};
    syscall(SYS_epoll_ctl, relief_.get(), EPOLL_CTL_ADD, port_.doorbell.get(), &event);
  }
  leave();
  add_waiter(ex.shared().writers, port_.info.file_id);
  if (ex.free_cells() == 0) {
    int saved = errno;
    epoll_event event;
    timespec timeout{0, kMoment_ns};
    if (syscall(SYS_epoll_pwait2, relief_.get(), &event, 1, &timeout, nullptr, 8) < 0 && errno == ENOSYS)
      syscall(SYS_epoll_pwait, relief_.get(), &event, 1, 1, nullptr, 8);
    errno = saved;
  }
  pass_on(ex, dest.port);
  if (seq_) enter(*seq_);
}

Destinations::~Destinations() {
  if (relief_) note_internal(relief_.get(), false);
}

uint64_t Destinations::now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return uint64_t(t.tv_sec) * 1'000'000'000 + uint64_t(t.tv_nsec);
}

bool Destinations::read_user(uint64_t address, uint8_t* to, uint32_t len) { return load_user(address, to, len) == 0; }

}  // namespace unetmap::client
