// SPDX-License-Identifier: BSD-2-Clause
#include "options.hh"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "parts/test_arguments.hh"

namespace valectl {
namespace {

struct Outcome {
  Parsed parsed;
  Options options;
  std::string why;
};

Outcome parse(std::vector<std::string> words) {
  unetmap::parts::TestArguments arguments("vale-ctl", std::move(words));
  Outcome out;
  out.parsed = parse_options(arguments.argc(), arguments.argv(), out.options, out.why);
  return out;
}

TEST(ValeCtlOptions, NoArgumentsListsEverything) {
  const Outcome out = parse({});
  EXPECT_EQ(out.parsed, Parsed::kRun);
  EXPECT_EQ(out.options.action, Action::kList);
  EXPECT_EQ(out.options.name, "");
}

TEST(ValeCtlOptions, ListTakesItsNameOrNone) {
  EXPECT_EQ(parse({"-l"}).options.name, "");
  EXPECT_EQ(parse({"-l"}).parsed, Parsed::kRun);
  EXPECT_EQ(parse({"-l", "vale0:1"}).options.name, "vale0:1");
  EXPECT_EQ(parse({"-lvale0"}).options.name, "vale0");
  const Outcome json = parse({"-l", "--json"});
  EXPECT_EQ(json.parsed, Parsed::kRun) << json.why;
  EXPECT_TRUE(json.options.json);
  EXPECT_EQ(json.options.name, "");
}

TEST(ValeCtlOptions, EveryLetterIsItsAction) {
  const std::vector<std::pair<std::string, Action>> letters = {
      {"-g", Action::kInfo},   {"-a", Action::kAttach}, {"-h", Action::kAttachHost}, {"-d", Action::kDetach},
      {"-n", Action::kCreate}, {"-r", Action::kRemove}, {"-p", Action::kPollingOn},  {"-P", Action::kPollingOff}};
  for (const auto& [letter, action] : letters) {
    for (const Outcome& out : {parse({letter, "vale0:x"}), parse({letter + "vale0:x"})}) {
      EXPECT_EQ(out.parsed, Parsed::kRun) << letter << ": " << out.why;
      EXPECT_EQ(out.options.action, action) << letter;
      EXPECT_EQ(out.options.name, "vale0:x") << letter;
    }
  }
}

TEST(ValeCtlOptions, QualifiersReachTheirAction) {
  const Outcome made = parse({"-C512,256,2,1", "-m", "7", "-n", "p0"});
  ASSERT_EQ(made.parsed, Parsed::kRun) << made.why;
  EXPECT_EQ(made.options.rings.tx_slots, 512u);
  EXPECT_EQ(made.options.rings.rx_rings, 1u);
  EXPECT_EQ(made.options.mem_id, 7u);
  const Outcome polled = parse({"-p", "vale0:eth1", "-C", "1,2,3"});
  ASSERT_EQ(polled.parsed, Parsed::kRun) << polled.why;
  EXPECT_TRUE(polled.options.polling.cpu_per_ring);
  EXPECT_EQ(polled.options.polling.cpus, 3u);
}

TEST(ValeCtlOptions, MistakesAreUsageErrorsWithASentence) {
  const std::vector<std::vector<std::string>> mistakes = {{"-x"},
                                                          {"-a"},
                                                          {"stray"},
                                                          {"-a", "vale0:1", "-d", "vale0:1"},
                                                          {"-a", ""},
                                                          {"-l", "vale0:1", "-C", "512"},
                                                          {"-m", "1"},
                                                          {"-n", "p0", "-m", "65536"},
                                                          {"-n", "p0", "--json"},
                                                          {"-p", "vale0:e", "-C", "2"},
                                                          {"-g", std::string(64, 'a')}};
  for (const auto& words : mistakes) {
    const Outcome out = parse(words);
    EXPECT_EQ(out.parsed, Parsed::kUsageError) << words[0];
    EXPECT_FALSE(out.why.empty()) << words[0];
  }
}

TEST(ValeCtlOptions, InformationTakesNamesAsTheLibraryHasThem) {
  EXPECT_EQ(parse({"-g", "netmap:eth0"}).options.name, "eth0");
  EXPECT_EQ(parse({"-g", "vale0:1"}).options.name, "vale0:1");
  EXPECT_EQ(parse({"-n", "netmap:eth0"}).options.name, "netmap:eth0") << "a name that is to be made is not guessed at";
}

TEST(ValeCtlOptions, HelpNamesEveryLetter) {
  EXPECT_EQ(parse({"--help"}).parsed, Parsed::kHelp);
  const std::string help = help_text("vale-ctl");
  for (const char* letter : {"-g", "-a", "-h", "-d", "-n", "-r", "-l", "-p", "-P", "-C", "-m"}) {
    EXPECT_NE(help.find(std::string("  ") + letter + " "), std::string::npos) << letter;
  }
}

}  // namespace
}  // namespace valectl
