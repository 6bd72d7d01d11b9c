// SPDX-License-Identifier: BSD-2-Clause
#include "complete.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace unetmap::cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Words = std::vector<std::string>;

constexpr const char* kHelp =
    "usage: pkt-gen [OPTIONS]\nSends round-trip packets -- many.\n\n  -i PORT      the port\n  -n, --count N\n"
    "               such as -5\n      --json   print JSON\n  --pin ADDRESS PORT  excludes: --flush\n";

Words at_end(Words words) {
  const CompletionSource source{{"ports", "plug", "set"},
                                [] {
                                  return Words{"vale0:b", "vale0:a", "vi0"};
                                },
                                [] {
                                  return Words{"vale0", "vale1"};
                                },
                                [] {
                                  return Words{"eth0", "lo"};
                                },
                                [](const Words&) { return std::string(kHelp); }};
  return candidates(words, words.size() - 1, source);
}

TEST(Complete, CommandsAndTheirFirstWords) {
  EXPECT_THAT(at_end({"unetmap", ""}), ElementsAre("plug", "ports", "set"));
  EXPECT_THAT(at_end({"/usr/bin/unetmap", "p"}), ElementsAre("plug", "ports"));
  EXPECT_THAT(at_end({"unetmap", "stats", "vale0:"}), ElementsAre("vale0:a", "vale0:b"));
  EXPECT_THAT(at_end({"unetmap", "fdb", ""}), ElementsAre("vale0", "vale1"));
  EXPECT_THAT(at_end({"unetmap", "trace", "vale0"}), ElementsAre("vale0", "vale0:a", "vale0:b"));
  EXPECT_THAT(at_end({"unetmap", "doctor", "e"}), ElementsAre("eth0"));
  EXPECT_THAT(at_end({"unetmap", "set", "vale0:a", "lo"}), ElementsAre("lossless"));
  EXPECT_THAT(at_end({"unetmap", "set", "vale0:a", "lossless", ""}), ElementsAre("off", "on"));
  EXPECT_THAT(at_end({"unetmap", "set", "e"}), ElementsAre("eth0"));
  EXPECT_THAT(at_end({"unetmap", "set", "eth0", "nic_mode", "n"}), ElementsAre("native", "native-zerocopy"));
  EXPECT_THAT(at_end({"unetmap", "replay", ""}), IsEmpty());
}

TEST(Complete, PortsOfPrograms) {
  EXPECT_THAT(at_end({"pkt-gen", "-f", "rx", "-i", ""}),
              ElementsAre("netmap:eth0", "netmap:lo", "netmap:vi0", "vale0:a", "vale0:b"));
  EXPECT_THAT(at_end({"netmap-bridge", "-i", "vale0:a"}), ElementsAre("vale0:a"));
  EXPECT_THAT(at_end({"valectl", "-d", "vale0:b"}), ElementsAre("vale0:b"));
  EXPECT_THAT(at_end({"l2open", "-r", "l"}), ElementsAre("lo"));
  EXPECT_THAT(at_end({"nmreplay", "-f", ""}), IsEmpty());
}

TEST(Complete, OptionsAreThoseOfTheHelp) {
  EXPECT_THAT(options_in(kHelp), ElementsAre("--count", "--json", "--pin", "-i", "-n"));
  EXPECT_THAT(at_end({"pkt-gen", "--"}), ElementsAre("--count", "--json", "--pin"));
}

TEST(Complete, PlacesThatThereAreNot) {
  const CompletionSource none{};
  EXPECT_THAT(candidates({}, 0, none), IsEmpty());
  EXPECT_THAT(candidates({"unetmap"}, 0, none), IsEmpty());
  EXPECT_THAT(candidates({"unetmap", "x"}, 5, none), IsEmpty());
}

}  // namespace
}  // namespace unetmap::cli
