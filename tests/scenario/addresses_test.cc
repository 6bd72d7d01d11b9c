// SPDX-License-Identifier: BSD-2-Clause
// Addresses that a program gives to poll and its kin, where there is no memory: EFAULT, as from a kernel, and no
// signal. And what a descriptor's memory may be mapped for.
#include <net/if.h>
#include <sys/stat.h>

#include "control_request.hh"
#include "waiting.hh"

namespace descriptors {
namespace {

class Addresses : public testing::Test {
 protected:
  // 0, or the errno value of a call that failed.
  static int error_of(int result) { return result < 0 ? errno : 0; }

  Edge edge_;
  Port port_{switch_name() + ":a"};
};

TEST_F(Addresses, OfPoll) {
  for (void* bad : {static_cast<void*>(edge_.none()), reinterpret_cast<void*>(1), reinterpret_cast<void*>(-8),
                    static_cast<void*>(edge_.cut<char>(4))})
    EXPECT_EQ(error_of(poll(static_cast<pollfd*>(bad), 1, 0)), EFAULT) << bad;
  auto* two = edge_.cut<pollfd>(sizeof(pollfd));
  *two = {port_.fd(), POLLOUT, 0};
  EXPECT_EQ(error_of(poll(two, 2, 0)), EFAULT) << "the second is outside";
  EXPECT_EQ(poll(two, 1, 0), 1);
  EXPECT_EQ(two->revents, POLLOUT);
  pollfd one{port_.fd(), POLLOUT, 0};
  volatile nfds_t too_many = 100'000'000;  // more than the compiler wants to see
  EXPECT_EQ(error_of(poll(&one, too_many, 0)), EINVAL) << "more than there can be open";
  timespec none{};
  EXPECT_EQ(error_of(ppoll(reinterpret_cast<pollfd*>(edge_.none()), 1, &none, nullptr)), EFAULT);
  // Where the answer cannot be written.
  Edge constant;
  auto* fixed = constant.cut<pollfd>(sizeof(pollfd));
  *fixed = {port_.fd(), POLLOUT, 0};
  constant.make_read_only();
  EXPECT_EQ(error_of(poll(fixed, 1, 0)), EFAULT);
}

TEST_F(Addresses, OfSelect) {
  auto* none = reinterpret_cast<fd_set*>(edge_.none());
  timeval now{};
  EXPECT_EQ(error_of(select(port_.fd() + 1, none, nullptr, nullptr, &now)), EFAULT);
  EXPECT_EQ(error_of(select(port_.fd() + 1, nullptr, reinterpret_cast<fd_set*>(8), nullptr, &now)), EFAULT);
  fd_set out;
  FD_ZERO(&out);
  FD_SET(port_.fd(), &out);
  EXPECT_EQ(select(port_.fd() + 1, nullptr, &out, nullptr, &now), 1);
}

TEST_F(Addresses, OfEpoll) {
  Epoll set;
  auto* none = reinterpret_cast<epoll_event*>(edge_.none());
  EXPECT_EQ(error_of(epoll_ctl(set.fd(), EPOLL_CTL_ADD, port_.fd(), none)), EFAULT);
  EXPECT_EQ(error_of(epoll_ctl(set.fd(), EPOLL_CTL_ADD, port_.fd(), nullptr)), EFAULT);
  ASSERT_EQ(set.add(port_.fd(), EPOLLOUT, 7), 0);
  EXPECT_EQ(error_of(epoll_ctl(set.fd(), EPOLL_CTL_MOD, port_.fd(), none)), EFAULT);
  EXPECT_EQ(error_of(epoll_wait(set.fd(), none, 1, 0)), EFAULT);
  EXPECT_EQ(error_of(epoll_pwait(set.fd(), none, 1, 0, nullptr)), EFAULT);
  // Room for one, where more are spoken of that do not come.
  auto* room = edge_.cut<epoll_event>(sizeof(epoll_event));
  EXPECT_EQ(epoll_wait(set.fd(), room, 64, 0), 1);
  EXPECT_EQ(room->data.u64, 7u);
  EXPECT_EQ(epoll_ctl(set.fd(), EPOLL_CTL_DEL, port_.fd(), none), 0) << "not looked at";
}

TEST_F(Addresses, OfQuestionsAboutTheDescriptor) {
  EXPECT_EQ(error_of(fstat(port_.fd(), reinterpret_cast<struct stat*>(edge_.none()))), EFAULT);
  EXPECT_EQ(error_of(stat("/dev/netmap", reinterpret_cast<struct stat*>(edge_.none()))), EFAULT);
  EXPECT_EQ(error_of(statx(AT_FDCWD, "/dev/netmap", 0, STATX_ALL, reinterpret_cast<struct statx*>(edge_.none()))),
            EFAULT);
}

class Mappings : public testing::Test {
 protected:
  // A port on a descriptor opened so.
  void open(int flags) {
    close(std::exchange(fd_, open_device(flags)));
    ASSERT_EQ(register_port(fd_, name_, {}, &body_), 0) << strerror(errno);
  }
  // 0, or why its memory cannot be mapped.
  int map(int protection, int type = MAP_SHARED) {
    void* at = mmap(nullptr, body_.nr_memsize, protection, type, fd_, 0);
    const int error = at == MAP_FAILED ? errno : 0;
    if (!error) munmap(at, body_.nr_memsize);
    return error;
  }
  netmap_ring* ring_at(void* memory) const { return NETMAP_TXRING(NETMAP_IF(memory, body_.nr_offset), 0); }
  ~Mappings() override { close(fd_); }

  const std::string name_ = switch_name() + ":a";
  int fd_ = -1;
  nmreq_register body_{};
};

TEST_F(Mappings, AreForWhatTheDescriptorWasOpenedFor) {
  open(O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(fcntl(fd_, F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_EQ(map(PROT_READ | PROT_WRITE), EACCES);
  EXPECT_EQ(map(PROT_READ), 0);
  EXPECT_EQ(map(PROT_READ | PROT_WRITE, MAP_PRIVATE), 0);
  EXPECT_EQ(map(PROT_READ, 0), EINVAL) << "neither shared nor private";
  void* memory = mmap(nullptr, body_.nr_memsize, PROT_READ, MAP_SHARED, fd_, 0);
  ASSERT_NE(memory, MAP_FAILED);
  EXPECT_EQ(ring_at(memory)->num_slots, 1024u);
  EXPECT_EQ(mprotect(memory, body_.nr_memsize, PROT_READ | PROT_WRITE), -1);
  EXPECT_EQ(errno, EACCES);
  munmap(memory, body_.nr_memsize);
  // Whoever has a copy of it.
  const int copy = dup(fd_);
  EXPECT_EQ(mmap(nullptr, body_.nr_memsize, PROT_WRITE, MAP_SHARED, copy, 0), MAP_FAILED);
  EXPECT_EQ(errno, EACCES);
  close(copy);
  open(O_WRONLY | O_CLOEXEC);
  EXPECT_EQ(fcntl(fd_, F_GETFL) & O_ACCMODE, O_WRONLY);
  for (int type : {MAP_SHARED, MAP_PRIVATE}) EXPECT_EQ(map(PROT_WRITE, type), EACCES) << type;
  EXPECT_EQ(ioctl(fd_, NIOCTXSYNC, nullptr), 0);
  open(O_RDWR | O_CLOEXEC);
  EXPECT_EQ(fcntl(fd_, F_GETFL) & O_ACCMODE, O_RDWR);
  EXPECT_EQ(map(PROT_READ | PROT_WRITE), 0);
}

TEST_F(Mappings, OfOnesOwnKeepWhatIsWrittenThere) {
  open(O_RDWR | O_CLOEXEC);
  void* shared = mmap(nullptr, body_.nr_memsize, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  void* own = mmap(nullptr, body_.nr_memsize, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd_, 0);
  ASSERT_NE(shared, MAP_FAILED);
  ASSERT_NE(own, MAP_FAILED);
  ring_at(own)->head = 77;
  EXPECT_EQ(ring_at(shared)->head, 0u);
  ring_at(own)->head = 0;
  munmap(own, body_.nr_memsize);
  munmap(shared, body_.nr_memsize);
}

TEST_F(Mappings, BecomeLargerAndMove) {
  open(O_RDWR | O_CLOEXEC);
  const size_t bytes = (body_.nr_memsize + 4095) & ~uint64_t{4095}, more = bytes + (1 << 20);
  auto fresh = [&] { return mmap(nullptr, body_.nr_memsize, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0); };
  void* memory = fresh();
  ASSERT_NE(memory, MAP_FAILED);
  memcpy(NETMAP_BUF(ring_at(memory), ring_at(memory)->slot[5].buf_idx), "five", 4);
  EXPECT_EQ(mremap(memory, bytes, more, 0), MAP_FAILED) << "not where it is";
  memory = mremap(memory, bytes, more, MREMAP_MAYMOVE);
  ASSERT_NE(memory, MAP_FAILED) << strerror(errno);
  EXPECT_EQ(ring_at(memory)->num_slots, 1024u);
  EXPECT_EQ(memcmp(NETMAP_BUF(ring_at(memory), ring_at(memory)->slot[5].buf_idx), "five", 4), 0);
  EXPECT_EQ(ioctl(fd_, NIOCTXSYNC, nullptr), 0);
  munmap(memory, more);
  void* place = mmap(nullptr, more, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memory = fresh();
  EXPECT_EQ(mremap(memory, bytes, more, MREMAP_MAYMOVE | MREMAP_FIXED, place), place) << strerror(errno);
  EXPECT_EQ(ring_at(place)->num_slots, 1024u);
  munmap(place, more);
  memory = fresh();
  EXPECT_EQ(mremap(memory, bytes, 65536, 0), memory);
  munmap(memory, 65536);
  // Of others' memory it is the kernel that decides.
  void* other = mmap(nullptr, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(static_cast<char*>(other) + 4096, 4096, PROT_NONE);
  EXPECT_EQ(mremap(other, 8192, 16384, MREMAP_MAYMOVE), MAP_FAILED);
  EXPECT_EQ(errno, EFAULT);
  munmap(other, 8192);
}

}  // namespace
}  // namespace descriptors
