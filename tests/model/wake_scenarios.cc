// SPDX-License-Identifier: BSD-2-Clause
// Sleeping and waking: ring/wait_list.hh and ring/pipe.hh, with what is waited for.
#include "ring/pipe.hh"
#include "ring_setup.hh"

namespace unetmap::model {
namespace {

constexpr uint32_t kFile = 7;

const Registered sleeper("sleeper", "a receiver that sleeps until something comes, and two senders that wake it", [] {
  auto s = std::make_shared<RingSetup>(3);
  auto bell = std::make_shared<Bell>();
  add_thread([s, bell] { s->send(0, 1, bell.get()); });
  add_thread([s, bell] { s->send(1, 1, bell.get()); });
  add_thread([s, bell] {
    RingSetup::Process p(*s);
    for (;;) {
      bell->drain();
      p.sync();
      if (s->received(0) + s->received(1) == 2) return;
      add_waiter(s->exchange().shared().readers, kFile);
      if (!p.receiver.anything()) bell->wait();
    }
  });
  return [s] { s->check_all_came(); };
});

// For senders that wait for room at a lossless port, each with a packet or more.
struct Room {
  explicit Room(bool by_turns, uint32_t cells = 1) : by_turns(by_turns), ring(cells) {}
  const bool by_turns;  // who is woken while the receiver runs: one, who passes on what it leaves, or all
  RingSetup ring;
  Bell reader, writers[3];

  void send(uint32_t sender, uint32_t packets) {
    bool waited = false;
    while (ring.pushed(sender) < packets) {
      writers[sender].drain();
      const bool sent = ring.send(sender, 1, &reader) > 0;
      if (by_turns && waited && ring.exchange().free_cells() > 0) wake_one();
      waited = !sent;
      if (sent) continue;
      add_waiter(ring.exchange().shared().writers, sender + 1);
      if (ring.exchange().free_cells() == 0) writers[sender].wait();
    }
  }
  void wake() {
    WaitList& list = ring.exchange().shared().writers;
    if (somebody_waits(list))
      take_waiters(list, [&](uint32_t file) {
        writers[file - 1].ring();
        return true;
      });
  }
  void wake_one() {
    if (uint32_t file = take_waiter(ring.exchange().shared().writers)) writers[file - 1].ring();
  }
  // As poll() does: whoever the receiver wakes while it runs, before it sleeps it wakes all.
  void receive(RingSetup::Process& process, uint32_t packets) {
    for (;;) {
      reader.drain();
      process.sync();
      by_turns ? wake_one() : wake();
      if (ring.received(0) + ring.received(1) + ring.received(2) == packets) return;
      add_waiter(ring.exchange().shared().readers, kFile);
      wake();
      if (!process.receiver.anything() && ring.kring.hwcur.load(Order::relaxed) == ring.head) reader.wait();
    }
  }
};

const Registered room("room", "a sender that waits for room at a lossless port, and a receiver that waits for packets", [] {
  auto r = std::make_shared<Room>(false);
  add_thread([r] { r->send(0, 2); });
  add_thread([r] {
    RingSetup::Process p(r->ring);
    r->receive(p, 2);
  });
  return [r] { r->ring.check_all_came(); };
});

const Registered room_for_two("room for two", "two senders that wait for one cell", [] {
  auto r = std::make_shared<Room>(false);
  add_thread([r] { r->send(0, 2); });
  add_thread([r] { r->send(1, 1); });
  add_thread([r] {
    RingSetup::Process p(r->ring);
    r->receive(p, 3);
  });
  return [r] { r->ring.check_all_came(); };
});

const Registered room_by_turns("room by turns", "three senders that wait for two cells: each is woken alone, and passes on what it leaves", [] {
  auto r = std::make_shared<Room>(true, 2);
  for (uint32_t sender = 0; sender < 3; sender++) add_thread([r, sender] { r->send(sender, sender == 0 ? 2 : 1); });
  add_thread([r] {
    RingSetup::Process p(r->ring);
    r->receive(p, 4);
  });
  return [r] { r->ring.check_all_came(); };
});

const Registered room_once("room, once", "a receiver that gives back what it has, and does not look again", [] {
  auto r = std::make_shared<Room>(false);
  auto p = std::make_shared<RingSetup::Process>(r->ring);
  // Before: a packet, which the receiver has.
  r->ring.send(2, 1);
  p->sync();
  add_thread([r] { r->send(0, 1); });
  add_thread([r, p] {
    p->sync();
    r->wake();
  });
  return nullptr;
});

// Several that wait for the same, in files of their own.
struct Crowd {
  RingSetup ring{1};
  Bell bell[2];
};
std::shared_ptr<Crowd> crowd(uint32_t entries_taken) {
  auto c = std::make_shared<Crowd>();
  WaitList& list = c->ring.exchange().shared().readers;
  for (uint32_t i = 0; i < entries_taken; i++) list.file[i].store(100 + i, Order::relaxed);
  for (uint32_t i = 0; i < 2; i++)
    add_thread([c, i] {
      vale::Exchange ex = c->ring.exchange();
      add_waiter(ex.shared().readers, i + 1);
      if (!ex.anything()) c->bell[i].wait();
    });
  add_thread([c] {
    vale::Exchange ex = c->ring.exchange();
    ex.link(0, UINT32_MAX, 0);
    ex.push(0, 1);
    bool all = take_waiters(ex.shared().readers, [&](uint32_t file) {
      if (file <= 2) c->bell[file - 1].ring();
      return true;
    });
    // Then the daemon rings for everybody.
    for (Bell& bell : c->bell)
      if (!all) bell.ring();
  });
  return c;
}
const Registered two_sleepers("two sleepers", "on one list: whoever wakes sees both", [] {
  crowd(0);
  return nullptr;
});
const Registered crowded("crowded list", "more sleepers than places: the daemon is asked", [] {
  crowd(WaitList::kEntries - 1);
  return nullptr;
});

// Two packets through a pipe whose ends each have room for one, both of which sleep.
struct Pipe {
  RxKring kring{};
  Atomic<uint32_t> slot[2]{};
  Bell reader, writer;
};
const Registered pipes("pipe", "both ends sleep while there is nothing to do: all slots come, in order, and none is written that is still read", [] {
  auto p = std::make_shared<Pipe>();
  constexpr uint32_t kPackets = 3;
  auto wake = [](WaitList& list, Bell& bell) {
    take_waiters(list, [&](uint32_t) {
      bell.ring();
      return true;
    });
  };
  add_thread([p, wake] {
    uint32_t at = 0, sent = 0;
    while (sent < kPackets) {
      p->writer.drain();
      // One slot stays free.
      auto full = [&] { return (at + 1) % 2 == pipe::released(p->kring); };
      if (full()) {
        add_waiter(p->kring.writers, kFile);
        if (full()) p->writer.wait();
        continue;
      }
      check(p->slot[at].load(Order::relaxed) == 0, "a slot was released that is still in use");
      p->slot[at].store(++sent, Order::relaxed);
      pipe::show(p->kring, at = (at + 1) % 2);
      wake(p->kring.readers, p->reader);
    }
  });
  add_thread([p, wake] {
    uint32_t at = 0, got = 0;
    while (got < kPackets) {
      p->reader.drain();
      auto empty = [&] { return at == pipe::shown(p->kring); };
      if (empty()) {
        add_waiter(p->kring.readers, kFile + 1);
        if (empty()) p->reader.wait();
        continue;
      }
      check(p->slot[at].load(Order::relaxed) == ++got, "a slot was shown that does not hold its packet");
      p->slot[at].store(0, Order::relaxed);
      pipe::release(p->kring, at = (at + 1) % 2);
      if (somebody_waits(p->kring.writers)) wake(p->kring.writers, p->writer);
    }
  });
  return nullptr;
});

// A receiver that nothing reaches any more, as more cells are free than there are: the sender tells it.
const Registered overfull("told by the sender", "of a free ring that makes no sense, while the receiver goes to sleep", [] {
  auto s = std::make_shared<RingSetup>(2);
  auto bell = std::make_shared<Bell>();
  vale::Exchange ex = s->exchange();
  ex.put_free(2, 0);
  ex.publish_free(3);
  add_thread([s, bell] {
    vale::Exchange ex = s->exchange();
    if (!ex.overfull()) return;
    ex.shared().spoiled.store(1, Order::seq_cst);
    if (somebody_waits(ex.shared().readers))
      take_waiters(ex.shared().readers, [&](uint32_t) {
        bell->ring();
        return true;
      });
  });
  add_thread([s, bell] {
    RingSetup::Process p(*s);
    while (s->exchange().free_cells() != 2) {
      add_waiter(s->exchange().shared().readers, kFile);
      if (!p.receiver.anything() && !p.resetting()) bell->wait();
      p.sync();
    }
  });
  return [s] { s->check_whole(); };
});

}  // namespace
}  // namespace unetmap::model
