// SPDX-License-Identifier: BSD-2-Clause
// A program whose memory runs out in the middle of one of our calls: the call fails with ENOMEM or does without, the
// program goes on, and the same call works when there is memory again. Each allocation of each call fails once, alone
// and with all that follow it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <libnetmap.h>
#include <net/netmap_user.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <functional>
#include <string>

#include "descriptors_port.hh"
#include "unetmap/unetmap.h"

namespace {

// What the allocations of this program do, those of the library and of the C library too.
struct Memory {
  bool watched = false;  // counts
  long left = 0;         // until the first failure
  bool from_then_on = false;
  long failed = 0;
} memory;

bool fails() {
  if (!memory.watched || memory.left-- > 0) return false;
  if (memory.left < -1 && !memory.from_then_on) return false;
  memory.failed++;
  errno = ENOMEM;
  return true;
}

}  // namespace

extern "C" {
void* __libc_malloc(size_t);          // NOLINT(bugprone-reserved-identifier): the C library's
void* __libc_realloc(void*, size_t);  // NOLINT(bugprone-reserved-identifier)
void* __libc_calloc(size_t, size_t);  // NOLINT(bugprone-reserved-identifier)
void* malloc(size_t bytes) { return fails() ? nullptr : __libc_malloc(bytes); }
void* realloc(void* old, size_t bytes) { return fails() ? nullptr : __libc_realloc(old, bytes); }
void* calloc(size_t count, size_t bytes) { return fails() ? nullptr : __libc_calloc(count, bytes); }
}

namespace descriptors {
namespace {

// One call that may need memory. True: it did what it is for. False with errno otherwise, and can be made again.
using Call = std::function<bool()>;
// What stands before it. A new child of ours does it each time, and after it `after`, which looks whether all is well.
struct Case {
  const char* name;
  std::function<Call()> prepare;
};

enum Outcome : int { kDone = 0, kNothingFailed = 1, kWrongErrno = 2, kNotAgain = 3, kNotPrepared = 4 };

// In a child.
int one(const Case& each, long allocation, bool from_then_on) {
  Call call = each.prepare();
  if (!call) return kNotPrepared;
  memory.left = allocation;
  memory.from_then_on = from_then_on;
  memory.watched = true;
  errno = 0;
  const bool done = call();
  const int error = errno;
  memory.watched = false;
  if (memory.failed == 0) return done ? kNothingFailed : kNotPrepared;
  if (!done && error != ENOMEM) {
    fprintf(stderr, "%s, allocation %ld%s: errno %d (%s): %s\n", each.name, allocation, from_then_on ? " and on" : "",
            error, strerror(error), unetmap_last_error());
    return kWrongErrno;
  }
  if (done || call()) return kDone;
  fprintf(stderr, "%s, allocation %ld%s: not again: %s: %s\n", each.name, allocation, from_then_on ? " and on" : "",
          strerror(errno), unetmap_last_error());
  return kNotAgain;
}

class NoMemory : public testing::TestWithParam<Case> {};

TEST_P(NoMemory, IsToldAndOverWhenThereIsSome) {
  Port stays(switch_name() + ":stays");  // and the daemon with it
  long tried = 0;
  for (bool from_then_on : {false, true}) {
    for (long allocation = 0;; allocation++) {
      ASSERT_LT(allocation, 2000);
      const pid_t child = fork();
      if (child == 0) {
        alarm(30);
        _exit(one(GetParam(), allocation, from_then_on));
      }
      int status = 0;
      ASSERT_EQ(waitpid(child, &status, 0), child);
      ASSERT_TRUE(WIFEXITED(status)) << "allocation " << allocation << (from_then_on ? " and those after it" : "")
                                     << ": signal " << WTERMSIG(status);
      if (WEXITSTATUS(status) == kNothingFailed) break;
      EXPECT_EQ(WEXITSTATUS(status), kDone)
          << "allocation " << allocation << (from_then_on ? " and those after it" : "");
      if (HasFailure()) return;
      tried++;
    }
  }
  RecordProperty("allocations", int(tried));
}

Call registered(const std::function<Call(int, std::string)>& then) {
  const std::string name = switch_name() + ":a";
  const int fd = open_device();
  if (fd < 0 || register_port(fd, name) < 0) return nullptr;
  return then(fd, name);
}

const Case cases[] = {
    {"open", [] { return Call([] { return open("/dev/netmap", O_RDWR | O_CLOEXEC) >= 0; }); }},
    {"register",
     []() -> Call {
       const std::string name = switch_name() + ":a";
       const int fd = open_device();
       if (fd < 0) return nullptr;
       return [=] { return register_port(fd, name) == 0; };
     }},
    {"list",
     [] {
       return registered([](int fd, const std::string&) {
         return Call([=] {
           nmreq_header header{};
           nmreq_vale_list body{};
           header.nr_version = NETMAP_API;
           header.nr_reqtype = NETMAP_REQ_VALE_LIST;
           header.nr_body = uintptr_t(&body);
           return ioctl(fd, NIOCCTRL, &header) == 0;
         });
       });
     }},
    {"map",
     [] {
       return registered([](int fd, const std::string&) {
         return Call([=] { return mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED; });
       });
     }},
    {"duplicate",
     [] {
       return registered([](int fd, const std::string&) {
         return Call([=] {
           const int copy = dup(fd);
           return copy >= 0 && ioctl(copy, NIOCTXSYNC) == 0 && close(copy) == 0;
         });
       });
     }},
    {"take the place of another",
     [] {
       return registered([](int fd, const std::string&) {
         const int other = open_device();
         return Call([=] { return dup2(fd, other) == other && ioctl(other, NIOCTXSYNC) == 0; });
       });
     }},
    {"close",
     [] {
       return registered([](int fd, const std::string&) {
         auto* closed = new bool(false);
         return Call([=] { return *closed || (*closed = close(fd) == 0); });
       });
     }},
    {"receive by a socket",
     [] {
       return registered([](int fd, const std::string&) -> Call {
         int pair[2];
         if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) < 0) return nullptr;
         return [=] {
           char byte = 0, space[CMSG_SPACE(sizeof(int))] = {};
           iovec data{&byte, 1};
           msghdr message{};
           message.msg_iov = &data;
           message.msg_iovlen = 1;
           message.msg_control = space;
           message.msg_controllen = sizeof space;
           cmsghdr* head = CMSG_FIRSTHDR(&message);
           head->cmsg_level = SOL_SOCKET;
           head->cmsg_type = SCM_RIGHTS;
           head->cmsg_len = CMSG_LEN(sizeof fd);
           memcpy(CMSG_DATA(head), &fd, sizeof fd);
           int got = -1;
           if (sendmsg(pair[0], &message, 0) != 1 || recvmsg(pair[1], &message, 0) != 1) return false;
           memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof got);
           return ioctl(got, NIOCTXSYNC) == 0;
         };
       });
     }},
    {"poll",
     [] {
       return registered([](int fd, const std::string&) {
         return Call([=] {
           pollfd entries[2] = {{fd, POLLIN, 0}, {-1, 0, 0}};
           return poll(entries, 2, 1) == 0;
         });
       });
     }},
    {"select",
     [] {
       return registered([](int fd, const std::string&) {
         return Call([=] {
           fd_set set;
           FD_ZERO(&set);
           FD_SET(fd, &set);
           timeval moment{0, 1000};
           return select(fd + 1, &set, nullptr, nullptr, &moment) == 0;
         });
       });
     }},
    {"epoll",
     [] {
       return registered([](int fd, const std::string&) -> Call {
         const int set = epoll_create1(EPOLL_CLOEXEC);
         return [=] {
           epoll_event event{EPOLLIN, {}};
           if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) < 0 && errno != EEXIST) return false;
           return epoll_wait(set, &event, 1, 1) == 0;
         };
       });
     }},
    {"send",
     []() -> Call {
       auto* pair = new Pair;
       if (testing::Test::HasFailure()) return nullptr;
       auto* number = new uint64_t(0);
       // What cannot be delivered is lost and counted: the next one arrives.
       return [=] {
         if (!pair->a.send(++*number)) return false;
         if (ioctl(pair->b.fd(), NIOCRXSYNC, nullptr) < 0) return false;
         bool arrived = false;
         netmap_ring* ring = pair->b.rx();
         for (; ring->head != ring->tail; ring->head = ring->cur = nm_ring_next(ring, ring->head)) {
           uint64_t got;
           memcpy(&got, NETMAP_BUF(ring, ring->slot[ring->head].buf_idx) + 16, sizeof got);
           arrived |= got == *number;
         }
         errno = ENOMEM;
         return arrived;
       };
     }},
    {"nmport_open",
     [] {
       const std::string name = "vale" + switch_name() + ":a";
       return Call([=] {
         nmport_d* port = nmport_open(name.c_str());
         if (!port) return false;
         nmport_close(port);
         return true;
       });
     }},
    {"nmport_open with extra buffers",
     [] {
       const std::string name = "vale" + switch_name() + ":a@conf:tx-rings=2";
       return Call([=] {
         nmport_d* port = nmport_prepare(name.c_str());
         if (!port) return false;
         port->reg.nr_extra_bufs = 8;
         const bool open = nmport_open_desc(port) == 0;
         const int error = errno;
         nmport_close(port);
         errno = error;
         return open;
       });
     }},
};

INSTANTIATE_TEST_SUITE_P(Calls, NoMemory, testing::ValuesIn(cases), [](const auto& info) {
  std::string name = info.param.name;
  for (char& c : name)
    if (!isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
});

}  // namespace
}  // namespace descriptors
