// SPDX-License-Identifier: BSD-2-Clause
#include "base/fold.hh"

#include <gtest/gtest.h>

namespace unetmap {
namespace {

TEST(Fold, LeavesWhatFits) {
  EXPECT_EQ(fold("usage: x\n\n  -a   one\n", 20), "usage: x\n\n  -a   one\n");
  EXPECT_EQ(fold("12345678901234567890\n", 20), "12345678901234567890\n");
}

TEST(Fold, ContinuesBelowTheExplanation) {
  EXPECT_EQ(fold("  -a X   one two three four\n", 20), "  -a X   one two\n         three four\n");
}

TEST(Fold, ContinuesBelowTheFirstWordWithoutAnExplanation) {
  EXPECT_EQ(fold("    one two three four five six\n", 20), "    one two three\n    four five six\n");
  EXPECT_EQ(fold("one two three four five\n", 10), "one two\nthree four\nfive\n");
}

TEST(Fold, KeepsWordsWhole) {
  EXPECT_EQ(fold("  -a   an-argument-that-is-long yes\n", 20), "  -a   an-argument-that-is-long\n       yes\n");
  EXPECT_EQ(fold("one-word-that-is-longer-than-this\n", 20), "one-word-that-is-longer-than-this\n");
}

TEST(Fold, UsesTheWidthWhole) {
  const std::string folded = fold("  -a   aaaa bbbb cccc dddd\n", 21);
  EXPECT_EQ(folded, "  -a   aaaa bbbb cccc\n       dddd\n") << "the first line is exactly as wide as allowed";
}

}  // namespace
}  // namespace unetmap
