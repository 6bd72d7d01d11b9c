// SPDX-License-Identifier: BSD-2-Clause
#include "guest/guest_memory.hh"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>

namespace unetmap::guest {
namespace {

constexpr uint64_t kMiB = 1 << 20;

UniqueFd memory(uint64_t bytes) {
  UniqueFd fd(memfd_create("guest", MFD_CLOEXEC));
  EXPECT_EQ(ftruncate(fd.get(), off_t(bytes)), 0);
  return fd;
}

TEST(GuestMemory, TranslatesBothAddressSpacesOfAllRegions) {
  GuestMemory memory_of;
  UniqueFd low = memory(kMiB), high = memory(2 * kMiB);
  ASSERT_TRUE(memory_of.add({0, kMiB, 0x7000'0000, 0}, low.get()));
  ASSERT_TRUE(memory_of.add({1ull << 32, kMiB, 0x9000'0000, kMiB}, high.get()));
  const char text[] = "in the file";
  ASSERT_EQ(pwrite(high.get(), text, sizeof text, kMiB + 5), ssize_t(sizeof text));
  EXPECT_STREQ(reinterpret_cast<char*>(memory_of.at((1ull << 32) + 5, sizeof text)), text);
  EXPECT_EQ(memory_of.at_user(0x9000'0005, sizeof text), memory_of.at((1ull << 32) + 5, sizeof text));
  EXPECT_EQ(memory_of.at_user(0x7000'0000, kMiB), memory_of.at(0, kMiB));
  uint64_t guest = 0;
  EXPECT_TRUE(memory_of.guest_of_user(0x9000'0007, guest));
  EXPECT_EQ(guest, (1ull << 32) + 7);
  EXPECT_FALSE(memory_of.guest_of_user(0x1234, guest));
}

TEST(GuestMemory, GivesNothingOutsideOrAcross) {
  GuestMemory memory_of;
  UniqueFd fd = memory(2 * kMiB);
  ASSERT_TRUE(memory_of.add({kMiB, kMiB, 0x7000'0000, 0}, fd.get()));
  ASSERT_TRUE(memory_of.add({2 * kMiB, kMiB, 0x8000'0000, kMiB}, fd.get()));
  EXPECT_EQ(memory_of.at(kMiB - 1, 1), nullptr);
  EXPECT_EQ(memory_of.at(3 * kMiB, 0), nullptr);
  EXPECT_NE(memory_of.at(3 * kMiB - 1, 1), nullptr);
  EXPECT_EQ(memory_of.at(3 * kMiB - 1, 2), nullptr);
  EXPECT_EQ(memory_of.at(kMiB, UINT64_MAX), nullptr);
  EXPECT_EQ(memory_of.at(UINT64_MAX, 1), nullptr);
  EXPECT_EQ(memory_of.at(UINT64_MAX, UINT64_MAX), nullptr);
  EXPECT_EQ(memory_of.at_user(0x7000'0000, kMiB + 1), nullptr);
  // A buffer over the border comes in two pieces.
  EXPECT_EQ(memory_of.at(2 * kMiB - 10, 20), nullptr);
  auto piece = memory_of.piece(2 * kMiB - 10, 20);
  EXPECT_EQ(piece.bytes, 10u);
  auto rest = memory_of.piece(2 * kMiB, 10);
  EXPECT_EQ(rest.bytes, 10u);
  EXPECT_EQ(memory_of.piece(3 * kMiB, 1).at, nullptr);
}

TEST(GuestMemory, RefusesWhatCannotBe) {
  GuestMemory memory_of;
  UniqueFd fd = memory(kMiB);
  EXPECT_FALSE(memory_of.add({0, 0, 0, 0}, fd.get()));
  EXPECT_FALSE(memory_of.add({0, 2 * kMiB, 0, 0}, fd.get()));
  EXPECT_FALSE(memory_of.add({0, kMiB, 0, 4096}, fd.get()));
  EXPECT_FALSE(memory_of.add({UINT64_MAX - 4096, kMiB, 0, 0}, fd.get()));
  EXPECT_FALSE(memory_of.add({0, kMiB, UINT64_MAX - 4096, 0}, fd.get()));
  EXPECT_FALSE(memory_of.add({0, kMiB, 0, UINT64_MAX - 4096}, fd.get()));
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  UniqueFd reader(pipe_fds[0]), writer(pipe_fds[1]);
  EXPECT_FALSE(memory_of.add({0, 4096, 0, 0}, reader.get()));
  EXPECT_FALSE(memory_of.add({0, 4096, 0, 0}, -1));
  EXPECT_EQ(memory_of.regions(), 0u);
  ASSERT_TRUE(memory_of.add({0, kMiB, 0, 0}, fd.get()));
  EXPECT_FALSE(memory_of.add({kMiB - 1, 4096, 1ull << 40, 0}, fd.get()));
  EXPECT_FALSE(memory_of.add({1ull << 40, 4096, 4096, 0}, fd.get()));
  EXPECT_EQ(memory_of.regions(), 1u);
}

TEST(GuestMemory, OffsetsNeedNotBeAligned) {
  GuestMemory memory_of;
  UniqueFd fd = memory(kMiB);
  ASSERT_TRUE(memory_of.add({0x1000, 100, 0, 4097}, fd.get()));
  ASSERT_EQ(pwrite(fd.get(), "x", 1, 4097 + 99), 1);
  EXPECT_EQ(*memory_of.at(0x1000 + 99, 1), 'x');
  EXPECT_EQ(memory_of.at(0x1000 + 100, 1), nullptr);
}

TEST(GuestMemory, ReplacesAllOrNothing) {
  GuestMemory memory_of;
  std::vector<UniqueFd> fds;
  fds.push_back(memory(kMiB));
  fds.push_back(memory(kMiB));
  const Region good[] = {{0, kMiB, 0, 0}, {kMiB, kMiB, kMiB, 0}};
  const Region bad[] = {{kMiB * 4, kMiB, 0, 0}, {kMiB * 8, 2 * kMiB, kMiB, 0}};
  ASSERT_TRUE(memory_of.replace(good, fds));
  uint32_t generation = memory_of.generation();
  uint8_t* at = memory_of.at(kMiB, 1);
  EXPECT_FALSE(memory_of.replace(bad, fds));
  EXPECT_EQ(memory_of.generation(), generation);
  EXPECT_EQ(memory_of.at(kMiB, 1), at);
  ASSERT_TRUE(memory_of.remove({kMiB, kMiB, kMiB, 0}));
  EXPECT_TRUE(memory_of.remove({kMiB, kMiB, kMiB, 0}));  // as it may be said again
  EXPECT_FALSE(memory_of.remove({2 * kMiB, kMiB, 2 * kMiB, 0}));
  EXPECT_NE(memory_of.generation(), generation);
  EXPECT_EQ(memory_of.at(kMiB, 1), nullptr);
  EXPECT_NE(memory_of.at(0, 1), nullptr);
}

TEST(GuestMemory, AFileCutShortBreaksTheMemoryAndNothingElse) {
  GuestMemory memory_of, other;
  UniqueFd fd = memory(kMiB), other_fd = memory(kMiB);
  ASSERT_TRUE(memory_of.add({0, kMiB, 0, 0}, fd.get()));
  ASSERT_TRUE(other.add({0, kMiB, 0, 0}, other_fd.get()));
  *memory_of.at(kMiB - 1, 1) = 7;
  *other.at(kMiB - 1, 1) = 8;
  EXPECT_FALSE(memory_of.broken());
  ASSERT_EQ(ftruncate(fd.get(), 4096), 0);
  EXPECT_FALSE(memory_of.broken());
  EXPECT_EQ(__atomic_load_n(memory_of.at(kMiB - 1, 1), __ATOMIC_RELAXED), 0);
  EXPECT_TRUE(memory_of.broken());
  memset(memory_of.at(0, kMiB), 1, kMiB);
  EXPECT_FALSE(other.broken());
  EXPECT_EQ(*other.at(kMiB - 1, 1), 8);
  // New memory, new life.
  std::vector<UniqueFd> fds;
  fds.push_back(memory(kMiB));
  const Region good[] = {{0, kMiB, 0, 0}};
  ASSERT_TRUE(memory_of.replace(good, fds));
  EXPECT_FALSE(memory_of.broken());
}

TEST(GuestMemory, LogsEachPageWritten) {
  GuestMemory memory_of;
  UniqueFd fd = memory(kMiB), log = memory(4096);
  ASSERT_TRUE(memory_of.add({0, kMiB, 0, 0}, fd.get()));
  EXPECT_FALSE(memory_of.set_log(log.get(), 8192, 0));
  ASSERT_TRUE(memory_of.set_log(log.get(), 32, 8));
  memory_of.written(0, kMiB);  // not asked for yet
  auto bits = [&](int byte) {
    uint8_t value = 0;
    EXPECT_EQ(pread(log.get(), &value, 1, 8 + byte), 1);
    return value;
  };
  EXPECT_EQ(bits(0), 0);
  memory_of.set_logging(true);
  memory_of.written(4095, 2);
  memory_of.written(5 * 4096, 0);
  memory_of.written(9 * 4096 + 17, 4096);
  EXPECT_EQ(bits(0), 0b11);
  EXPECT_EQ(bits(1), 0b110);
  // Behind the log, and beyond everything.
  memory_of.written(32 * 8 * 4096 - 1, 4096 * 3);
  memory_of.written(UINT64_MAX, 2);
  memory_of.written(1ull << 60, 1);
  EXPECT_EQ(bits(31), 0x80);
  EXPECT_EQ(bits(32), 0);
  ASSERT_TRUE(memory_of.set_log(-1, 0, 0));
  memory_of.written(0, 1);
}

}  // namespace
}  // namespace unetmap::guest
