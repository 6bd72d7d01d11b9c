// SPDX-License-Identifier: BSD-2-Clause
// Senders, receiver and daemon at one receive ring: vale/exchange.hh, vale/receive.cc, ring/sync_mark.hh.
#include "ring_setup.hh"

namespace unetmap::model {
namespace {

using Setup = std::shared_ptr<RingSetup>;

// An audit to its end; `sender` may be in the middle of something until it has ended.
void finish_audit(RingSetup::Process& process, Thread sender) {
  process.sync();
  if (process.resetting()) {
    wait_for_end(sender);
    process.sync();
  }
  check(!process.resetting(), "an audit waits for somebody who has left");
}

// Another process that shares the ring takes over when `victim` has ended.
void add_successor(const std::shared_ptr<RingSetup>& s, Thread sender, Thread victim) {
  add_thread([s, sender, victim] {
    wait_for_end(victim);
    RingSetup::Process p(*s);
    p.take_over();
    s->ask_for_audit();
    finish_audit(p, sender);
    p.sync();
  });
}

// Cells of a ring, and packets of the two syncs of a sender.
struct Sizes {
  uint32_t cells, more, fewer;
};
constexpr Sizes kFew{3, 2, 1}, kFours{8, 5, 4};  // the latter are taken, shown and given back four at a time

using End = std::function<void()>;  // what is checked in the end

End two_senders(Sizes sizes) {
  auto s = std::make_shared<RingSetup>(sizes.cells);
  s->swaps_buffers = sizes.cells == kFew.cells;
  add_thread([s, sizes] { s->send(0, sizes.more), s->send(0, sizes.fewer); });
  add_thread([s, sizes] { s->send(1, sizes.fewer), s->send(1, sizes.more); });
  add_thread([s] {
    RingSetup::Process p(*s);
    for (int i = 0; i < 4; i++) p.sync();
  });
  return [s] { s->check_whole(), s->check_all_came(); };
}

const Registered senders("senders", "two senders and a receiver: everything comes, once, whole, in each sender's order",
                         [] { return two_senders(kFew); });
const Registered senders_fours("senders, by fours", "the same, of cells that are handled four at a time",
                               [] { return two_senders(kFours); });

End sender_dies_beside(Sizes sizes) {
  auto s = std::make_shared<RingSetup>(sizes.cells);
  Thread victim = add_thread([s, sizes] { s->send(0, sizes.more), s->send(0, sizes.fewer); }, Fate::kMayDie);
  Thread other = add_thread([s, sizes] { s->send(1, sizes.fewer), s->send(1, sizes.fewer); });
  Thread daemon = add_thread([s, victim] {
    wait_for_end(victim);
    // One that did not come to its push has not sent.
    s->forget_port(0);
    s->ask_for_audit();
  });
  add_thread([s, daemon, other] {
    RingSetup::Process p(*s);
    for (int i = 0; i < 3; i++) p.sync();
    // Whether or not the audit was seen to be wanted by now.
    wait_for_end(daemon);
    finish_audit(p, other);
  });
  return [s] { s->check_whole(); };
}

const Registered sender_dies("sender dies",
                             "at any step, beside another sender: all cells come back, nothing is lost that was sent",
                             [] { return sender_dies_beside(kFew); });
const Registered sender_dies_fours("sender dies, by fours", "the same, of cells that are handled four at a time",
                                   [] { return sender_dies_beside(kFours); });

const Registered audit_beside("audit beside senders", "an audit takes nothing from senders that live, whatever they are at", [] {
  auto s = std::make_shared<RingSetup>(3);
  s->swaps_buffers = true;
  Thread a = add_thread([s] { s->send(0, 2), s->send(0, 1), s->send(0, 1); });
  add_thread([s, a] {
    RingSetup::Process p(*s);
    p.sync();
    p.sync();
    s->ask_for_audit();
    finish_audit(p, a);
    p.sync();
  });
  return [s] { s->check_whole(), s->check_all_came(); };
});

const Registered sender_stops("sender stops", "and goes on after the repair has given up waiting: nothing is doubled, all comes back", [] {
  auto s = std::make_shared<RingSetup>(3);
  Thread victim = add_thread([s] { s->send(0, 2), s->send(0, 1); }, Fate::kMayStop);
  add_thread([s, victim] {
    RingSetup::Process p(*s);
    p.sync();
    wait_for_halt(victim);
    s->ask_for_audit();
    p.sync(true);
    p.sync(true);
    wait_for_end(victim);
    for (int i = 0; i < 3; i++) p.sync();
    check(!p.resetting(), "an audit that gave up does not end when its sender has gone on");
  });
  return [s] { s->check_whole(), s->check_all_came(); };
});

const Registered drain("free ring made anew", "beside a sender that is taking cells", [] {
  auto s = std::make_shared<RingSetup>(3);
  Thread a = add_thread([s] { s->send(0, 2), s->send(0, 1); });
  add_thread([s, a] {
    RingSetup::Process p(*s);
    p.sync();
    s->exchange().shared().spoiled.store(1, Order::relaxed);
    finish_audit(p, a);
    p.sync();
  });
  return [s] { s->check_whole(), s->check_all_came(); };
});

const Registered drain_two("free ring made anew, two", "beside two senders that are taking cells", [] {
  auto s = std::make_shared<RingSetup>(3);
  Thread a = add_thread([s] { s->send(0, 1), s->send(0, 1); });
  Thread b = add_thread([s] { s->send(1, 1), s->send(1, 1); });
  add_thread([s, a, b] {
    RingSetup::Process p(*s);
    p.sync();
    p.sync();
    s->exchange().shared().spoiled.store(1, Order::relaxed);
    p.sync();
    wait_for_end(a);
    finish_audit(p, b);
    p.sync();
  });
  return [s] { s->check_whole(), s->check_all_came(); };
});

const Registered never_overfull("never overfull", "a ring whose cells are not doubled is not taken for one, whoever moves its ends", [] {
  auto s = std::make_shared<RingSetup>(2);
  add_thread([s] { s->send(0, 1), s->send(0, 1); });
  add_thread([s] {
    for (int i = 0; i < 2; i++) check(!s->exchange().overfull(), "more cells seem to be free than there are");
  });
  add_thread([s] {
    RingSetup::Process p(*s);
    p.sync(), p.sync(), p.sync();
  });
  return [s] { s->check_whole(), s->check_all_came(); };
});

End receiver_dies_beside(Sizes sizes) {
  auto s = std::make_shared<RingSetup>(sizes.cells);
  s->loses = true;
  Thread a = add_thread([s, sizes] { s->send(0, sizes.more), s->send(0, sizes.fewer); });
  Thread victim = add_thread(
      [s] {
        RingSetup::Process p(*s);
        p.sync(), p.sync(), p.sync();
      },
      Fate::kMayDie);
  add_successor(s, a, victim);
  return [s] { s->check_whole(); };
}

const Registered receiver_dies("receiver dies", "at any step; another that shares the ring takes over, beside a sender",
                               [] { return receiver_dies_beside(kFew); });
const Registered receiver_dies_fours("receiver dies, by fours", "the same, of cells that are handled four at a time",
                                     [] { return receiver_dies_beside(kFours); });

const Registered auditor_dies("receiver dies in an audit", "at any step of making the free ring anew", [] {
  auto s = std::make_shared<RingSetup>(2);
  s->loses = true;
  Thread a = add_thread([s] { s->send(0, 1), s->send(0, 1); });
  Thread victim = add_thread(
      [s] {
        RingSetup::Process p(*s);
        s->exchange().shared().spoiled.store(1, Order::relaxed);
        p.sync(), p.sync();
      },
      Fate::kMayDie);
  add_successor(s, a, victim);
  return [s] { s->check_whole(); };
});

const Registered auditor_leaves("receiver leaves an audit", "between two steps of it; another that shares the ring ends it", [] {
  auto s = std::make_shared<RingSetup>(2);
  Thread a = add_thread([s] { s->send(0, 1), s->send(0, 1); });
  add_thread([s, a] {
    RingSetup::Process first(*s), second(*s);
    first.sync();
    s->exchange().shared().spoiled.store(1, Order::relaxed);
    first.sync();
    second.sync();
    finish_audit(second, a);
    second.sync();
  });
  return [s] { s->check_whole(), s->check_all_came(); };
});

}  // namespace
}  // namespace unetmap::model
