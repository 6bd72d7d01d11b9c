// SPDX-License-Identifier: BSD-2-Clause
// CSB mode and the sync kloop.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/fd_message.hh"
#include "csb_port.hh"
#include "flows.hh"
#include "process_state.hh"

namespace {

using csb::Port;
using flows::eventually;

constexpr uint64_t kNone = ~uint64_t{0};

std::string frame(uint64_t number) {
  std::string out(60, '\x02');
  out[0] = '\xff';
  memcpy(&out[14], &number, sizeof number);
  return out;
}
uint64_t number_in(const char* bytes, uint16_t len) {
  uint64_t number = kNone;
  if (len == 60) memcpy(&number, bytes + 14, sizeof number);
  return number;
}

// Voluntary and involuntary switches of a thread: what it woke up for.
uint64_t switches(pid_t tid) {
  char path[64], line[128];
  snprintf(path, sizeof path, "/proc/self/task/%d/status", tid);
  uint64_t sum = 0;
  FILE* f = fopen(path, "r");
  if (!f) return kNone;
  while (fgets(line, sizeof line, f))
    if (char* at = strstr(line, "ctxt_switches:")) sum += strtoull(at + 14, nullptr, 10);
  fclose(f);
  return sum;
}
bool sleeps(pid_t tid) { return process_state::state_of(tid) == 'S'; }

TEST(Csb, IsRefusedWhereItCannotBe) {
  EXPECT_EQ(Port("valeK1:a", 0).error, EINVAL) << "not exclusive";
  Port port("valeK1:a", NR_EXCLUSIVE, false);
  ASSERT_EQ(port.error, 0);
  auto enable = [&](const nmreq_opt_csb& option) {
    errno = 0;
    return csb::request(port.fd, NETMAP_REQ_CSB_ENABLE, nullptr, &option) == 0 ? 0 : errno;
  };
  auto with = [&](const void* atok, const void* ktoa, int error) {
    nmreq_opt_csb option = csb::csb_option(atok, ktoa);
    EXPECT_EQ(enable(option), error);
    EXPECT_EQ(option.nro_opt.nro_status, uint32_t(error));
  };
  char* far = static_cast<char*>(mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  with(reinterpret_cast<char*>(port.blocks->atok) + 8, port.blocks->ktoa, EINVAL);
  with(port.blocks->atok, nullptr, EFAULT);
  with(nullptr, port.blocks->ktoa, EFAULT);
  with(far, port.blocks->ktoa, EFAULT);
  with(port.blocks->atok, far, EFAULT);
  mprotect(far, 4096, PROT_READ);
  with(port.blocks->atok, far, EFAULT);
  // The first entry can be reached, the second one not.
  char* two_pages = static_cast<char*>(mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  mprotect(two_pages + 4096, 4096, PROT_NONE);
  with(two_pages + 4096 - 64, port.blocks->ktoa, EFAULT);
  EXPECT_EQ(csb::request(port.fd, NETMAP_REQ_CSB_ENABLE), -1);
  EXPECT_EQ(errno, EINVAL) << "without the option";
  nmreq_opt_csb second = csb::csb_option(port.blocks->atok, port.blocks->ktoa);
  nmreq_opt_csb first = csb::csb_option(port.blocks->atok, port.blocks->ktoa, &second);
  EXPECT_EQ(enable(first), EINVAL);
  EXPECT_EQ(first.nro_opt.nro_status, uint32_t(EINVAL));
  EXPECT_EQ(second.nro_opt.nro_status, uint32_t(EINVAL));
  nmreq_opt_sync_kloop_mode mode = csb::mode_option(0);
  nmreq_opt_csb before = csb::csb_option(port.blocks->atok, port.blocks->ktoa, &mode);
  before.csb_atok += 8;
  EXPECT_EQ(enable(before), EINVAL);
  EXPECT_EQ(mode.nro_opt.nro_status, uint32_t(EOPNOTSUPP)) << "not looked at";
  int unregistered = open("/dev/netmap", O_RDWR);
  nmreq_opt_csb option = csb::csb_option(port.blocks->atok, port.blocks->ktoa);
  EXPECT_EQ(csb::request(unregistered, NETMAP_REQ_CSB_ENABLE, nullptr, &option), 0) << "no rings, nothing to do";
  close(unregistered);
  // None of that changed the mode.
  EXPECT_EQ(ioctl(port.fd, NIOCTXSYNC, nullptr), 0);
  with(port.blocks->atok, port.blocks->ktoa, 0);
  EXPECT_EQ(ioctl(port.fd, NIOCTXSYNC, nullptr), -1);
  munmap(far, 4096);
  munmap(two_pages, 8192);
}

TEST(Csb, BeginsWithTheRingsAsTheyAre) {
  Port port("valeK2:a", NR_EXCLUSIVE, false);
  ASSERT_EQ(port.error, 0);
  port.tx()->head = port.tx()->cur = 5;
  ASSERT_EQ(ioctl(port.fd, NIOCTXSYNC, nullptr), 0);
  nmreq_opt_csb option = csb::csb_option(port.blocks->atok, port.blocks->ktoa);
  ASSERT_EQ(csb::request(port.fd, NETMAP_REQ_CSB_ENABLE, nullptr, &option), 0);
  const csb::Blocks& b = *port.blocks;
  EXPECT_EQ(b.atok[0].head, 5u);
  EXPECT_EQ(b.atok[0].cur, 5u);
  EXPECT_EQ(b.ktoa[0].hwcur, 5u);
  EXPECT_EQ(b.ktoa[0].hwtail, 4u);
  EXPECT_EQ(b.atok[1].head, 0u);
  EXPECT_EQ(b.ktoa[1].hwtail, 0u);
  for (int i = 0; i < 2; i++) {
    EXPECT_EQ(b.atok[i].appl_need_kick, 1u);
    EXPECT_EQ(b.atok[i].sync_flags, 1u);
    EXPECT_EQ(b.ktoa[i].kern_need_kick, 1u);
  }
  // In this mode only a kloop syncs.
  for (unsigned long sync : {NIOCTXSYNC, NIOCRXSYNC}) {
    EXPECT_EQ(ioctl(port.fd, sync, nullptr), -1);
    EXPECT_EQ(errno, EBUSY);
  }
  pollfd p{port.fd, POLLIN | POLLOUT, 0};
  EXPECT_EQ(poll(&p, 1, 0), 1);
  EXPECT_EQ(p.revents, POLLERR);
}

TEST(Kloop, StartIsRefusedWhereItCannotBe) {
  auto start = [](int fd, uint32_t sleep_us, const void* options = nullptr) {
    nmreq_sync_kloop_start body{};
    body.sleep_us = sleep_us;
    return csb::request(fd, NETMAP_REQ_SYNC_KLOOP_START, &body, options) == 0 ? 0 : errno;
  };
  int unregistered = open("/dev/netmap", O_RDWR);
  EXPECT_EQ(start(unregistered, 100), ENXIO);
  EXPECT_EQ(csb::request(unregistered, NETMAP_REQ_SYNC_KLOOP_STOP), -1);
  EXPECT_EQ(errno, ENXIO);
  close(unregistered);
  Port plain("valeK3:b", NR_EXCLUSIVE, false);
  EXPECT_EQ(start(plain.fd, 100), EINVAL) << "not in CSB mode";
  Port port("valeK3:a");
  ASSERT_EQ(port.error, 0);
  EXPECT_EQ(start(port.fd, 1000001), EINVAL);
  int good = eventfd(0, 0), other = open("/dev/null", O_RDWR);
  auto with_pairs = [&](size_t pairs, int ioeventfd, int irqfd, int error, uint32_t mode = 0) {
    nmreq_opt_sync_kloop_mode mode_option = csb::mode_option(mode);
    csb::EventfdsOption option(pairs, &mode_option);
    for (size_t i = 0; i < pairs; i++) option.get().eventfds[i] = {ioeventfd, irqfd};
    EXPECT_EQ(start(port.fd, 100, option.bytes.data()), error);
    EXPECT_EQ(option.get().nro_opt.nro_status, uint32_t(error));
    EXPECT_EQ(mode_option.nro_opt.nro_status, 0u);
  };
  with_pairs(1, good, good, EINVAL);
  with_pairs(3, good, good, EINVAL);
  with_pairs(0, good, good, EINVAL);
  with_pairs(2, 12345, good, EBADF);
  with_pairs(2, good, 12345, EBADF);
  with_pairs(2, other, good, EINVAL);
  with_pairs(2, -1, good, EINVAL, NM_OPT_SYNC_KLOOP_DIRECT_TX);
  nmreq_opt_sync_kloop_mode mode = csb::mode_option(NM_OPT_SYNC_KLOOP_DIRECT_RX);
  EXPECT_EQ(start(port.fd, 100, &mode), EINVAL) << "direct without eventfds";
  mode = csb::mode_option(4);
  EXPECT_EQ(start(port.fd, 100, &mode), EINVAL);
  EXPECT_EQ(mode.nro_opt.nro_status, uint32_t(EINVAL));
  nmreq_opt_csb foreign = csb::csb_option(port.blocks->atok, port.blocks->ktoa);
  EXPECT_EQ(start(port.fd, 1000001, &foreign), EINVAL);
  EXPECT_EQ(foreign.nro_opt.nro_status, uint32_t(EOPNOTSUPP)) << "not looked at";
  close(good), close(other);
  // None of that is in the way of one that can be.
  csb::Loop loop(port);
  ASSERT_TRUE(eventually([&] { return loop.thread_id() && sleeps(loop.thread_id()); }));
  EXPECT_EQ(start(port.fd, 100), EBUSY);
  nmreq_opt_csb option = csb::csb_option(port.blocks->atok, port.blocks->ktoa);
  EXPECT_EQ(csb::request(port.fd, NETMAP_REQ_CSB_ENABLE, nullptr, &option), -1);
  EXPECT_EQ(errno, EBUSY);
  EXPECT_EQ(port.stop(), 0);
  EXPECT_EQ(loop.join(), 0);
}

TEST(Kloop, StopBeforeStartEndsThatLoopAndNoOther) {
  Port port("valeK4:a");
  ASSERT_EQ(port.error, 0);
  EXPECT_EQ(port.stop(), 0);
  EXPECT_EQ(port.stop(), 0);
  EXPECT_EQ(csb::Loop(port).join(), 0);
  csb::Loop polling(port, csb::Loop::kPolling, 1000000);
  ASSERT_TRUE(eventually([&] { return polling.thread_id() && sleeps(polling.thread_id()); }));
  EXPECT_EQ(port.stop(), 0);
  EXPECT_EQ(polling.join(), 0);
}

// Numbered packets to a port that a kloop serves and from it, all of them, whatever sleeps when.
struct Traffic {
  uint64_t packets = 100000;
  bool lossless = false;  // over a switch; otherwise over a pipe
  uint32_t burst = 37;
  uint64_t kicks = 0, interrupts = 0;

  // By ordinary poll.
  static void echo(nmport_d* port, uint64_t packets) {
    netmap_ring *rx = NETMAP_RXRING(port->nifp, 0), *tx = NETMAP_TXRING(port->nifp, 0);
    for (uint64_t n = 0; n < packets;) {
      if (!flows::wait_for(port, POLLIN, 10000) || nm_ring_empty(rx)) _exit(11);
      while (!nm_ring_empty(rx) && n < packets) {
        while (nm_ring_empty(tx))
          if (!flows::wait_for(port, POLLOUT, 10000)) _exit(12);
        netmap_slot &in = rx->slot[rx->head], &out = tx->slot[tx->head];
        memcpy(NETMAP_BUF(tx, out.buf_idx), NETMAP_BUF(rx, in.buf_idx), in.len);
        out.len = in.len;
        out.flags = 0;
        rx->head = rx->cur = nm_ring_next(rx, rx->head);
        tx->head = tx->cur = nm_ring_next(tx, tx->head);
        n++;
      }
      ioctl(port->fd, NIOCTXSYNC, nullptr);
    }
    // Until all that was sent has been taken.
    while (nm_tx_pending(tx))
      if (!flows::wait_for(port, POLLOUT, 10000)) _exit(13);
    for (uint32_t taken = nm_ring_space(tx); taken != tx->num_slots - 1; taken = nm_ring_space(tx)) {
      ioctl(port->fd, NIOCTXSYNC, nullptr);
      usleep(500);
    }
  }

  void run(const std::string& name, const std::string& other, uint32_t mode, bool polling) {
    pid_t child = flows::spawn([&] {
      nmport_d* port = flows::open_port(other);
      if (!port) _exit(10);
      echo(port, packets);
      nmport_close(port);
    });
    Port port(name);
    ASSERT_EQ(port.error, 0);
    for (const std::string& end : {name, other}) {
      if (!lossless) continue;
      ASSERT_TRUE(eventually([&] { return system(("unetmap set " + end + " lossless on 2>&-").c_str()) == 0; }));
    }
    std::unique_ptr<csb::Loop> loop(polling ? new csb::Loop(port, csb::Loop::kPolling, 50) : new csb::Loop(port, mode));
    csb::Ring tx = loop->tx(), rx = loop->rx();
    std::thread sender([&] {
      for (uint64_t n = 0; n < packets;) {
        if (!tx.wait()) return ADD_FAILURE() << "no room after " << n;
        uint32_t now = uint32_t(std::min<uint64_t>({tx.available(), packets - n, burst}));
        tx.take(now, [&](netmap_slot& slot, char* bytes) {
          slot.len = 60;
          slot.flags = 0;
          memcpy(bytes, frame(n++).data(), 60);
        });
        burst = burst * 7 % 101 + 1;
      }
    });
    uint64_t seen = 0;
    while (seen < packets) {
      if (!rx.wait()) {
        ADD_FAILURE() << "nothing after " << seen;
        break;
      }
      rx.take(rx.available(), [&](netmap_slot& slot, char* bytes) {
        if (number_in(bytes, slot.len) != seen) ADD_FAILURE() << number_in(bytes, slot.len) << " instead of " << seen;
        seen++;
      });
      if (HasFailure()) break;
    }
    sender.join();
    if (HasFailure()) kill(child, SIGKILL);
    int status;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(seen, packets);
    kicks = tx.kicks + rx.kicks;
    interrupts = tx.interrupts + rx.interrupts;
    if (mode == 0 && polling) {
      EXPECT_EQ(port.blocks->ktoa[0].kern_need_kick, 0u);
    }
    EXPECT_EQ(port.stop(), 0);
    EXPECT_EQ(loop->join(), 0);
  }
  static bool HasFailure() { return testing::Test::HasFailure(); }
};

TEST(Kloop, CarriesEveryPacketWithEventfds) {
  Traffic traffic;
  traffic.run("valeK5:p{1", "valeK5:p}1", 0, false);
  printf("%lu kicks, %lu interrupts for %lu packets there and back\n", traffic.kicks, traffic.interrupts, traffic.packets);
  EXPECT_GT(traffic.kicks, 0u);
}

TEST(Kloop, CarriesEveryPacketPolling) {
  Traffic traffic;
  traffic.run("valeK6:p{1", "valeK6:p}1", 0, true);
  EXPECT_EQ(traffic.kicks, 0u);
}

TEST(Kloop, CarriesEveryPacketInDirectMode) {
  for (uint32_t mode : {NM_OPT_SYNC_KLOOP_DIRECT_TX, NM_OPT_SYNC_KLOOP_DIRECT_RX,
                        NM_OPT_SYNC_KLOOP_DIRECT_TX | NM_OPT_SYNC_KLOOP_DIRECT_RX})
    Traffic{.packets = 30000}.run("valeK7:p{1", "valeK7:p}1", mode, false);
}

// Senders that wait for room, which the loop has to tell them of, and the other way round.
TEST(Kloop, CarriesEveryPacketOverALosslessSwitch) {
  for (bool polling : {false, true}) {
    Traffic traffic{.packets = 50000, .lossless = true};
    traffic.run("valeK8:a", "valeK8:b", 0, polling);
  }
}

// Packets of half a ring: while few slots are left they have no room, and kicks must say so when there are more again.
TEST(Kloop, AsksForKicksBeforeSlotsAreScarce) {
  Port port("valeK15:a"), peer("valeK15:b", 0, false);
  ASSERT_EQ(port.error, 0);
  ASSERT_EQ(peer.error, 0);
  csb::Loop loop(port);
  csb::Ring rx = loop.rx();
  netmap_ring* out = peer.tx();
  auto send = [&](uint32_t packets) {
    for (uint32_t i = 0; i < packets * 64; i++) {
      netmap_slot& slot = out->slot[out->head];
      memcpy(NETMAP_BUF(out, slot.buf_idx), frame(i).data(), 60);
      slot.len = 60;
      slot.flags = i % 64 == 63 ? 0 : NS_MOREFRAG;
      out->head = out->cur = nm_ring_next(out, out->head);
    }
    ioctl(peer.fd, NIOCTXSYNC, nullptr);
  };
  const uint32_t fit = (port.rx()->num_slots - 1) / 64;
  send(fit);
  ASSERT_TRUE(eventually([&] { return rx.available() == fit * 64 && sleeps(loop.thread_id()); }));
  for (uint32_t round = 0; round < 100; round++) {
    // The application takes all, and never looks again.
    rx.take(rx.available(), [](netmap_slot&, char*) {});
    ASSERT_GT(rx.kicks, round) << "nobody would tell the sender";
    ASSERT_TRUE(eventually([&] {
      return __atomic_load_n(&port.blocks->ktoa[1].hwcur, __ATOMIC_RELAXED) == rx.head() && sleeps(loop.thread_id());
    }));
    send(fit);
    ASSERT_TRUE(eventually([&] { return rx.available() == fit * 64 && sleeps(loop.thread_id()); }));
  }
}

TEST(Kloop, NeverWakesWhenIdle) {
  Port port("valeK9:a"), peer("valeK9:b", 0, false);
  ASSERT_EQ(port.error, 0);
  csb::Loop loop(port);
  csb::Ring tx = loop.tx(), rx = loop.rx();
  for (uint64_t n = 0; n < 10; n++)
    tx.take(1, [&](netmap_slot& slot, char* bytes) {
      slot.len = 60;
      memcpy(bytes, frame(n).data(), 60);
    });
  netmap_ring* ring = peer.rx();
  ASSERT_TRUE(eventually([&] {
    ioctl(peer.fd, NIOCRXSYNC, nullptr);
    return nm_ring_space(ring) == 10;
  }));
  ASSERT_TRUE(eventually([&] { return sleeps(loop.thread_id()); }));
  uint64_t before = switches(loop.thread_id());
  usleep(300'000);  // in which nothing happens
  EXPECT_EQ(switches(loop.thread_id()), before);
  // Awake at once for a kick and for an arrival.
  tx.take(1, [&](netmap_slot& slot, char* bytes) { slot.len = 60, memcpy(bytes, frame(10).data(), 60); });
  EXPECT_TRUE(eventually([&] {
    ioctl(peer.fd, NIOCRXSYNC, nullptr);
    return nm_ring_space(ring) == 11;
  }));
  netmap_ring* out = peer.tx();
  memcpy(NETMAP_BUF(out, out->slot[0].buf_idx), frame(1).data(), 60);
  out->slot[0].len = 60;
  out->head = out->cur = 1;
  ioctl(peer.fd, NIOCTXSYNC, nullptr);
  EXPECT_TRUE(rx.wait());
}

TEST(Kloop, IllegalIndexesAreRefusedWithoutSpinning) {
  Port port("valeK10:a"), peer("valeK10:b", 0, false);
  ASSERT_EQ(port.error, 0);
  csb::Loop loop(port);
  csb::Ring tx = loop.tx();
  ASSERT_TRUE(eventually([&] { return loop.thread_id() && sleeps(loop.thread_id()); }));
  for (uint32_t head : {5000u, ~0u, port.tx()->num_slots}) {
    tx.publish(head);
    tx.kick();
    usleep(20'000);
    ASSERT_TRUE(eventually([&] { return sleeps(loop.thread_id()); }));
    uint64_t before = switches(loop.thread_id());
    usleep(100'000);
    EXPECT_EQ(switches(loop.thread_id()), before);
  }
  // The service's indexes are as they were, and it goes on from there.
  EXPECT_EQ(port.blocks->ktoa[0].hwcur, 0u);
  EXPECT_EQ(port.blocks->ktoa[0].hwtail, port.tx()->num_slots - 1);
  netmap_slot& slot = port.tx()->slot[0];
  memcpy(NETMAP_BUF(port.tx(), slot.buf_idx), frame(7).data(), 60);
  slot.len = 60;
  tx.publish(1);
  tx.kick();
  EXPECT_TRUE(eventually([&] {
    ioctl(peer.fd, NIOCRXSYNC, nullptr);
    return nm_ring_space(peer.rx()) == 1;
  }));
}

TEST(Kloop, IsStoppedByAnyHolderOfTheDescriptor) {
  Port port("valeK11:a");
  ASSERT_EQ(port.error, 0);
  {
    csb::Loop loop(port);
    ASSERT_TRUE(eventually([&] { return loop.thread_id() && sleeps(loop.thread_id()); }));
    pid_t forked = flows::spawn([&] { _exit(port.stop() == 0 ? 0 : errno); });
    EXPECT_EQ(loop.join(), 0);
    int status;
    waitpid(forked, &status, 0);
    EXPECT_EQ(status, 0);
  }
  // A process that got it over a socket, and knows nothing of the blocks.
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  pid_t receiver = fork();
  if (receiver == 0) {
    char byte;
    iovec data{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    msghdr message{.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    close(port.fd);
    if (recvmsg(pair[1], &message, 0) != 1) _exit(20);
    int fd;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    if (ioctl(fd, NIOCTXSYNC, nullptr) == 0 || errno != EBUSY) _exit(21);
    nmreq_sync_kloop_start body{};
    if (csb::request(fd, NETMAP_REQ_SYNC_KLOOP_START, &body) == 0 || errno != EINVAL) _exit(22);
    _exit(csb::request(fd, NETMAP_REQ_SYNC_KLOOP_STOP) == 0 ? 0 : 23);
  }
  csb::Loop loop(port);
  ASSERT_TRUE(eventually([&] { return loop.thread_id() && sleeps(loop.thread_id()); }));
  const char byte = 0;
  const unetmap::FdMessage message(&byte, 1, {&port.fd, 1});
  ASSERT_EQ(sendmsg(pair[0], message.header(), 0), 1);
  int status;
  waitpid(receiver, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(loop.join(), 0);
  close(pair[0]), close(pair[1]);
}

TEST(Kloop, OfAKilledProcessIsNotInTheWay) {
  Port port("valeK12:a");
  ASSERT_EQ(port.error, 0);
  pid_t child = flows::spawn([&] {
    nmreq_sync_kloop_start body{};
    body.sleep_us = 100;
    _exit(csb::request(port.fd, NETMAP_REQ_SYNC_KLOOP_START, &body) ? errno : 0);
  });
  nmreq_opt_csb option = csb::csb_option(port.blocks->atok, port.blocks->ktoa);
  ASSERT_TRUE(eventually([&] {
    return csb::request(port.fd, NETMAP_REQ_CSB_ENABLE, nullptr, &option) < 0 && errno == EBUSY;
  })) << "the child's loop runs";
  kill(child, SIGKILL);
  siginfo_t info;
  waitid(P_PID, id_t(child), &info, WEXITED | WNOWAIT);
  EXPECT_EQ(port.stop(), 0) << "though nobody has waited for the child";
  waitpid(child, nullptr, 0);
  csb::Loop loop(port);
  ASSERT_TRUE(eventually([&] { return loop.thread_id() && sleeps(loop.thread_id()); }));
  EXPECT_EQ(port.stop(), 0);
  EXPECT_EQ(loop.join(), 0);
}

TEST(Kloop, EndsWhenTheDescriptorIsClosed) {
  Port port("valeK13:a");
  ASSERT_EQ(port.error, 0);
  csb::Loop loop(port);
  ASSERT_TRUE(eventually([&] { return loop.thread_id() && sleeps(loop.thread_id()); }));
  EXPECT_EQ(close(port.fd), 0);
  port.fd = -1;
  EXPECT_EQ(loop.join(), 0);
  EXPECT_EQ(Port("valeK13:a").error, 0) << "and the port is free again";
}

std::atomic<int> signals_seen{0};

TEST(Kloop, SignalsAreHandledAndDoNotEndIt) {
  struct sigaction action {};
  action.sa_handler = [](int) { signals_seen++; };
  sigaction(SIGUSR1, &action, nullptr);
  Port port("valeK14:a");
  ASSERT_EQ(port.error, 0);
  csb::Loop loop(port);
  for (int i = 1; i <= 5; i++) {
    ASSERT_TRUE(eventually([&] { return loop.thread_id() && sleeps(loop.thread_id()); }));
    syscall(SYS_tgkill, getpid(), loop.thread_id(), SIGUSR1);
    EXPECT_TRUE(eventually([&] { return signals_seen == i; }));
  }
  csb::Ring tx = loop.tx();
  tx.take(1, [&](netmap_slot& slot, char* bytes) { slot.len = 60, memcpy(bytes, frame(1).data(), 60); });
  EXPECT_TRUE(eventually([&] { return __atomic_load_n(&port.blocks->ktoa[0].hwcur, __ATOMIC_RELAXED) == 1; }));
  EXPECT_EQ(port.stop(), 0);
  EXPECT_EQ(loop.join(), 0);
}

}  // namespace
