// SPDX-License-Identifier: BSD-2-Clause
// unetmap-worker: moves packets between one switch port and something that has no netmap program of its own. Started by
// unetmapd with a channel at descriptor 3 (wire/worker.hh), and of no use to people.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "worker/kind.hh"
#include "worker/sandbox.hh"

namespace {

using namespace unetmap;
using namespace unetmap::worker;

class Channel : public Reporter {
 public:
  void state(bool connected, const std::string& text) override {
    tell({.event = wire::WorkerReport::Event::kState, .connected = connected, .text = text});
  }
  void say(const std::string& text) override { tell({.event = wire::WorkerReport::Event::kSaid, .text = text}); }
  // A daemon that does not listen misses it.
  void tell(const wire::WorkerReport& report) { (void)wire::send_report(wire::kWorkerChannel, report).has_value(); }
};

// One order, waited for.
Result<wire::WorkerOrder> next_order() {
  for (;;) {
    auto order = wire::receive_order(wire::kWorkerChannel);
    if (order || order.error().code != EAGAIN) return order;
    pollfd readable{wire::kWorkerChannel, POLLIN, 0};
    poll(&readable, 1, -1);
  }
}

// Takes what the daemon sent; ends the loop when it hung up or wants that.
void obey(Kind& kind, Channel& channel, Loop& loop) {
  auto order = wire::receive_order(wire::kWorkerChannel);
  if (!order) {
    if (order.error().code != EAGAIN) loop.end();
    return;
  }
  switch (order->op) {
    case wire::WorkerOrder::Op::kStart:
      return;
    case wire::WorkerOrder::Op::kStatus:
      channel.tell({.event = wire::WorkerReport::Event::kStatus, .id = order->id, .status = kind.status()});
      return;
    case wire::WorkerOrder::Op::kSet:
      if (auto set = kind.set(order->parameters); !set) channel.say(set.error().text);
      return;
    case wire::WorkerOrder::Op::kStop:
      kind.stop();
      loop.end();
      return;
  }
}

Result<void> serve(Channel& channel) {
  auto order = next_order();
  if (!order) return order.error().code == ENOTCONN ? Result<void>() : order.error();
  const KindEntry* entry = find_kind(order->kind);
  if (!entry) return Error{EOPNOTSUPP, order->port + ": plug: kind " + order->kind + " is unknown to this version"};
  auto loop = Loop::create();
  if (!loop) return loop.error();
  auto kind = entry->start({order->port, std::move(order->parameters), std::move(order->fds), *loop, channel});
  if (!kind) return kind.error();
  if (entry->foreign_bytes)
    if (auto filtered = filter_system_calls(); !filtered) return filtered.error();
  auto watched = loop->watch(wire::kWorkerChannel, EPOLLIN, [&](uint32_t) { obey(**kind, channel, *loop); });
  if (!watched) return watched.error();
  channel.tell({.event = wire::WorkerReport::Event::kReady});
  auto ran = loop->run(**kind);
  if (!ran) return Error{ran.error().code, order->port + ": " + ran.error().text};
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "--version") == 0) {
    puts("unetmap-worker " UNETMAP_VERSION);
    return 0;
  }
  int type = 0;
  socklen_t bytes = sizeof type;
  if (argc != 1 || getsockopt(wire::kWorkerChannel, SOL_SOCKET, SO_TYPE, &type, &bytes) < 0 || type != SOCK_SEQPACKET) {
    fprintf(stderr, "unetmap-worker: is started by unetmapd; see unetmap(8), plug\n");
    return 2;
  }
  fcntl(wire::kWorkerChannel, F_SETFD, FD_CLOEXEC);
  signal(SIGPIPE, SIG_IGN);
  Channel channel;
  auto done = drop_privileges();
  if (done) done = serve(channel);
  if (done) return 0;
  channel.tell({.event = wire::WorkerReport::Event::kFailed, .error = done.error()});
  return 1;
}
