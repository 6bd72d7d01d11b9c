// SPDX-License-Identifier: BSD-2-Clause
// The requests around the sync kloop: who may start one, and how it is stopped. The loop itself is in run.cc.
#include "client/kloop/kloop.hh"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <climits>

#include "base/lock_holder.hh"
#include "client/descriptor/csb.hh"
#include "client/descriptor/descriptor.hh"
#include "client/kloop/run.hh"
#include "client/link/errors.hh"
#include "client/ring/kring_lock.hh"

namespace unetmap::client {
namespace {

constexpr uint32_t kMaxSleep_us = 1'000'000;

// The half of the word that changes when a loop ends.
uint32_t* futex_of(std::atomic<uint64_t>& word) {
  static_assert(std::endian::native == std::endian::little && sizeof(std::atomic<uint64_t>) == 8);
  return reinterpret_cast<uint32_t*>(&word);
}

// The right to run the loop of a descriptor, of one thread in all processes.
class LoopRight {
 public:
  explicit LoopRight(Bound& bound) : bound_(bound), word_(csb_word(bound)) {}
  ~LoopRight() {
    if (!held_) return;
    word_.fetch_and(kInCsbMode, std::memory_order_seq_cst);  // a stop is done with, too
    syscall(SYS_futex, futex_of(word_), FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
    bound_.kloop_pid.store(0, std::memory_order_release);
    bound_.kloop_pid.notify_all();
  }
  // An errno value, 0 if it is ours now.
  int take() {
    std::lock_guard hold(bound_.csb_mutex);
    uint64_t seen = word_.load(std::memory_order_acquire);
    do {
      if (!(seen & kInCsbMode) || !bound_.csb_here) return EINVAL;
      if (uint64_t runner = kloop_runner(seen); runner && !holder_has_ended(runner)) return EBUSY;
    } while (!word_.compare_exchange_weak(seen, (seen & kLoopFlags) | thread_word(), std::memory_order_seq_cst,
                                          std::memory_order_acquire));
    bound_.kloop_pid.store(getpid(), std::memory_order_release);
    return held_ = true, 0;
  }

 private:
  Bound& bound_;
  std::atomic<uint64_t>& word_;
  bool held_ = false;
};

// Asks the loop to end, and waits until it has. One that does not run yet ends at once when it starts.
void stop(Bound& bound) {
  std::atomic<uint64_t>& word = csb_word(bound);
  uint64_t runner = kloop_runner(word.fetch_or(kLoopStopping, std::memory_order_seq_cst));
  wake_kloop(bound);
  if (!runner || runner == thread_word()) return;  // the latter: from a signal handler inside the loop
  for (uint64_t now; kloop_runner(now = word.load(std::memory_order_acquire)) == runner;) {
    if (holder_has_ended(runner)) {
      word.compare_exchange_strong(now, now & kInCsbMode, std::memory_order_seq_cst);
      continue;
    }
    timespec look_again{0, 100'000'000};  // its thread may be killed
    syscall(SYS_futex, futex_of(word), FUTEX_WAIT, uint32_t(now), &look_again, nullptr, 0);
  }
}

void set_status(wire::ControlOption* option, int code) {
  if (option) option->status = uint32_t(code);
}

// A descriptor without rings, as one is before it is registered, has nothing to enter that mode with.
int request_csb(Bound* bound, wire::ControlRequest& request) {
  const std::string what = "CSB_ENABLE: ";
  wire::ControlOption* csb = request.option(NETMAP_REQ_OPT_CSB);
  if (!csb) return fail(EINVAL, what + "without NETMAP_REQ_OPT_CSB; say there where the blocks are");
  int error = bound ? enable_csb(*bound, csb->payload) : 0;
  set_status(csb, error);
  return error ? fail(error, what + csb_refusal(error)) : 0;
}

// What a START asks for, taken out of its options. An errno value; `why` says more.
int read_start(wire::ControlRequest& request, size_t rings, KloopPlan& plan, std::string& why) {
  plan.sleep_us = request.body_as<nmreq_sync_kloop_start>().sleep_us;
  wire::ControlOption* mode = request.option(NETMAP_REQ_OPT_SYNC_KLOOP_MODE);
  wire::ControlOption* eventfds = request.option(NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS);
  auto refuse = [&](wire::ControlOption* option, int code, std::string text) {
    set_status(option, code);
    why = std::move(text);
    return code;
  };
  uint32_t bits = 0;
  if (mode) memcpy(&bits, mode->payload.data(), sizeof bits);
  if (bits & ~uint32_t{NM_OPT_SYNC_KLOOP_DIRECT_TX | NM_OPT_SYNC_KLOOP_DIRECT_RX})
    return refuse(mode, EINVAL, "unknown bits in its mode; use NM_OPT_SYNC_KLOOP_*");
  plan.direct_tx = bits & NM_OPT_SYNC_KLOOP_DIRECT_TX;
  plan.direct_rx = bits & NM_OPT_SYNC_KLOOP_DIRECT_RX;
  bool direct = plan.direct_tx || plan.direct_rx;
  if (direct && !eventfds)
    return refuse(mode, EINVAL, "direct mode needs eventfds; add NETMAP_REQ_OPT_SYNC_KLOOP_EVENTFDS");
  set_status(mode, 0);
  if (!eventfds) return 0;
  using Pair = nmreq_opt_sync_kloop_eventfds::nmreq_opt_sync_kloop_eventfd;
  if (eventfds->payload.size() != rings * sizeof(Pair))
    return refuse(eventfds, EINVAL,
                  "eventfds for another number of rings than the " + std::to_string(rings) +
                      " bound ones; "
                      "give one pair a ring, -1 for none");
  plan.polling = false;
  for (size_t i = 0; i < rings; i++) {
    Pair pair;
    memcpy(&pair, eventfds->payload.data() + i * sizeof pair, sizeof pair);
    plan.polling = plan.polling || pair.ioeventfd < 0;
    plan.pairs.push_back({OwnFd::of_eventfd(pair.ioeventfd), OwnFd::of_eventfd(pair.irqfd)});
    for (const OwnFd* fd : {&plan.pairs.back().kick, &plan.pairs.back().irq})
      if (fd->error())
        return refuse(eventfds, fd->error(),
                      "pair " + std::to_string(i) + " is not of eventfds; make them with eventfd()");
  }
  if (plan.polling && direct)
    return refuse(eventfds, EINVAL, "direct mode needs an ioeventfd for each ring; give them all");
  set_status(eventfds, 0);
  return 0;
}

int request_start(Descriptor& d, Bound* bound, wire::ControlRequest& request) {
  const std::string what = "SYNC_KLOOP_START: ";
  // Alive until the loop has ended, whoever closes it meanwhile.
  auto keep = d.shared_from_this();
  if (request.body_as<nmreq_sync_kloop_start>().sleep_us > kMaxSleep_us)
    return fail(EINVAL, what + "sleep_us above a second; ask for 1000000 at most");
  if (!bound) return fail(ENXIO, what + "the descriptor is not registered; NETMAP_REQ_REGISTER comes first");
  KloopPlan plan;
  LoopRight right(*bound);
  if (int error = right.take())
    return fail(error,
                what + (error == EBUSY
                            ? "a kloop of this descriptor runs already; stop it first"
                            : "the descriptor is not in CSB mode in this process; NETMAP_REQ_CSB_ENABLE comes first"));
  std::string why;
  if (int error = read_start(request, bound->tx.size() + bound->rx.size(), plan, why)) return fail(error, what + why);
  if (int error = run_kloop(d, *bound, plan))
    return fail(error,
                what + (error == ENXIO ? "ended, because the daemon is gone; close the descriptor and open it again"
                                       : "no epoll instance to sleep on; raise the limit of open files"));
  return 0;
}

}  // namespace

std::string csb_refusal(int error) {
  switch (error) {
    case EBUSY:
      return "its kloop is running; stop it first";
    case EFAULT:
      return "a block is in memory that cannot be written; say where the blocks are";
    case ENXIO:
      return "the descriptor is not registered; NETMAP_REQ_REGISTER comes first";
    default:
      return "the rings are not bound with NR_EXCLUSIVE, or blocks are not aligned to 64 bytes; see to both";
  }
}

int kloop_request(Descriptor& d, wire::ControlRequest& request) {
  Bound* bound = d.bound(true);
  if (request.type == NETMAP_REQ_CSB_ENABLE) return request_csb(bound, request);
  if (request.type == NETMAP_REQ_SYNC_KLOOP_START) return request_start(d, bound, request);
  if (!bound) return fail(ENXIO, "SYNC_KLOOP_STOP: the descriptor is not registered; NETMAP_REQ_REGISTER comes first");
  stop(*bound);
  return 0;
}

}  // namespace unetmap::client
