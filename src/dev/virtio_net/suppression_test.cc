// SPDX-License-Identifier: BSD-2-Clause
// The arithmetic of notification suppression, for every case there is: virtio 1.2, 2.7.10 (split) and 2.8.10 (packed).
#include <gtest/gtest.h>

#include <memory>

#include "dev/virtio_net/test_driver.hh"

namespace unetmap::virtio {
namespace {

// Without the wrap of 16 bits: positions `before` < ... <= `now`, of which `wanted` is one; the event stands before the
// position that it names is passed.
TEST(Suppression, PassesIsRightForAllDifferences) {
  for (uint32_t step = 0; step < 65536; step++) {
    // `wanted` counted from before: passed if it is among the positions before, before + 1, ..., now - 1.
    uint32_t wrong = 0;
    for (uint32_t wanted = 0; wanted < 65536; wanted++) {
      const bool right = wanted < step;
      wrong += passes(uint16_t(wanted), uint16_t(step), 0) != right;
    }
    ASSERT_EQ(wrong, 0u) << "step " << step;
  }
}

// It does not depend on where on the circle that is.
TEST(Suppression, PassesOnlyKnowsDifferences) {
  for (uint32_t from = 0; from < 65536; from++)
    for (uint32_t step : {0u, 1u, 2u, 255u, 256u, 32767u, 32768u, 65535u})
      for (uint32_t wanted : {0u, 1u, 2u, 255u, 256u, 32767u, 32768u, 65534u, 65535u})
        ASSERT_EQ(passes(uint16_t(from + wanted), uint16_t(from + step), uint16_t(from)), wanted < step)
            << from << " " << step << " " << wanted;
}

constexpr uint64_t kFeatures[] = {kEventIdx, kEventIdx | kRingPacked};

class SuppressionOfRings : public testing::TestWithParam<uint64_t> {};
INSTANTIATE_TEST_SUITE_P(Layouts, SuppressionOfRings, testing::ValuesIn(kFeatures),
                         [](const auto& info) { return info.param & kRingPacked ? "Packed" : "Split"; });

// A real ring, of few slots so that it wraps again and again: for each place where it stands, each position that the
// driver may name from there on, and each number of chains given back at once, a call is wanted exactly if that
// position is passed.
TEST_P(SuppressionOfRings, ACallIsWantedExactlyWhenItsPositionIsPassed) {
  constexpr uint32_t kSize = 4;
  uint64_t cases = 0;
  TestGuest guest;
  auto driver = make_driver(guest, TestGuest::kBase, kSize, kVersion1 | GetParam());
  Vring ring;
  auto batch = std::make_unique<ChainBatch>();
  ASSERT_EQ(ring.start(guest.memory, driver->setup()), RingFault::kNone);
  const Buffer buffer{TestGuest::kBase + TestGuest::kRegion, 64, false};
  // True if the driver wants a call.
  auto round = [&](uint32_t chains) {
    for (uint32_t i = 0; i < chains; i++) EXPECT_TRUE(driver->offer(std::span(&buffer, 1), i, false));
    batch->clear();
    EXPECT_EQ(ring.take(*batch, chains), chains);
    ring.give_read(*batch, 0, chains);
    return ring.finish();
  };
  auto reap = [&](uint32_t chains) {
    for (uint32_t i = 0; i < chains; i++) {
      ASSERT_TRUE(driver->reap().has_value());
    }
  };
  EXPECT_TRUE(round(1)) << "the first call after a start is always wanted";
  reap(1);
  for (uint32_t place = 0; place < 4 * kSize; place++)
    for (uint32_t more = 1; more <= kSize; more++)
      for (uint32_t chains = 1; chains <= kSize; chains++) {
        driver->want_call_after(more);
        ASSERT_EQ(round(chains), chains >= more) << place << " " << more << " " << chains;
        EXPECT_FALSE(ring.finish()) << "asked twice";
        reap(chains);
        cases++;
      }
  EXPECT_EQ(cases, 16u * 16);
}

}  // namespace
}  // namespace unetmap::virtio
