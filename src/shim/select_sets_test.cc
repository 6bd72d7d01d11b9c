// SPDX-License-Identifier: BSD-2-Clause
#include "shim/select_sets.hh"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <vector>

namespace unetmap::shim {
namespace {

std::map<int, short> contents(const SelectSets& sets) {
  std::map<int, short> found;
  int last = -1;
  sets.each([&](int fd, short events) {
    EXPECT_GT(fd, last) << "in order";
    last = fd;
    found[fd] = events;
    return true;
  });
  return found;
}

TEST(SelectSets, FindsEachDescriptorOnce) {
  fd_set in, out, except;
  FD_ZERO(&in);
  FD_ZERO(&out);
  FD_ZERO(&except);
  FD_SET(0, &in);
  FD_SET(63, &out);
  FD_SET(64, &in);
  FD_SET(64, &out);
  FD_SET(64, &except);
  FD_SET(1023, &except);
  std::map<int, short> expected{
      {0, kSelectIn}, {63, kSelectOut}, {64, short(kSelectIn | kSelectOut | kSelectExcept)}, {1023, kSelectExcept}};
  SelectSets sets(1024, &in, &out, &except);
  EXPECT_EQ(contents(sets), expected);
  EXPECT_EQ(sets.count(), 4u);
}

TEST(SelectSets, LooksNoFurtherThanNfds) {
  fd_set in;
  FD_ZERO(&in);
  FD_SET(5, &in);
  FD_SET(6, &in);
  EXPECT_EQ(contents(SelectSets(6, &in, nullptr, nullptr)), (std::map<int, short>{{5, kSelectIn}}));
  EXPECT_TRUE(contents(SelectSets(0, &in, nullptr, nullptr)).empty());
}

TEST(SelectSets, MayBeLongerThanFdSet) {
  std::vector<fd_set> in(4), out(4);
  memset(in.data(), 0, 4 * sizeof(fd_set));
  memset(out.data(), 0, 4 * sizeof(fd_set));
  reinterpret_cast<unsigned long*>(in.data())[3000 / 64] |= 1ul << (3000 % 64);
  SelectSets sets(4096, in.data(), out.data(), nullptr);
  EXPECT_EQ(contents(sets), (std::map<int, short>{{3000, kSelectIn}}));
}

TEST(SelectSets, StopsWhenTold) {
  fd_set in;
  FD_ZERO(&in);
  for (int fd = 3; fd < 9; fd++) FD_SET(fd, &in);
  int seen = 0;
  EXPECT_FALSE(SelectSets(1024, &in, nullptr, nullptr).each([&](int fd, short) { return seen++, fd < 5; }));
  EXPECT_EQ(seen, 3);
}

TEST(SelectSets, ReportsWhatTheKernelWould) {
  EXPECT_EQ(SelectSets::reported(kSelectIn, POLLIN), POLLIN);
  EXPECT_EQ(SelectSets::reported(kSelectIn, POLLHUP), POLLIN) << "an end of file is readable";
  EXPECT_EQ(SelectSets::reported(kSelectIn | kSelectOut, POLLERR), POLLIN | POLLOUT);
  EXPECT_EQ(SelectSets::reported(kSelectOut, POLLHUP), 0);
  EXPECT_EQ(SelectSets::reported(kSelectExcept, POLLHUP | POLLERR), 0);
  EXPECT_EQ(SelectSets::reported(kSelectExcept, POLLPRI), POLLPRI);
  EXPECT_EQ(SelectSets::reported(kSelectOut, POLLIN), 0);
}

TEST(SelectSets, StoresResultsAndCountsBits) {
  fd_set in, out;
  FD_ZERO(&in);
  FD_ZERO(&out);
  for (int fd : {1, 2, 70}) FD_SET(fd, &in);
  for (int fd : {2, 70}) FD_SET(fd, &out);
  SelectSets sets(71, &in, &out, nullptr);
  std::vector<pollfd> fds;
  sets.each([&](int fd, short events) {
    fds.push_back({fd, events, 0});
    return true;
  });
  ASSERT_EQ(fds.size(), 3u);
  fds[1].revents = POLLIN | POLLOUT;
  fds[2].revents = POLLOUT;
  EXPECT_EQ(sets.store(fds.data(), fds.size()), 3);
  EXPECT_FALSE(FD_ISSET(1, &in));
  EXPECT_TRUE(FD_ISSET(2, &in));
  EXPECT_FALSE(FD_ISSET(70, &in));
  EXPECT_TRUE(FD_ISSET(2, &out));
  EXPECT_TRUE(FD_ISSET(70, &out));
}

}  // namespace
}  // namespace unetmap::shim
