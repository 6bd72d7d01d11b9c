// SPDX-License-Identifier: BSD-2-Clause
#include "parts/option_table.hh"

#include <gtest/gtest.h>

namespace unetmap::parts {
namespace {

struct Given {
  bool flag = false;
  std::string text;
  OptionTable table{
      "prog",
      "does things",
      "WORD",
      {{'f', nullptr, nullptr, "a flag", set_flag(flag)}, {'t', "text", "TEXT", "a text", set_text(text)}}};

  Result<std::vector<std::string>> parse(std::vector<std::string> words, bool words_last = false) {
    words.insert(words.begin(), "prog");
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    return table.parse(int(words.size()), argv.data(), words_last);
  }
};

TEST(OptionTable, LettersNamesAndWords) {
  Given given;
  auto words = given.parse({"one", "-f", "--text=x", "two"});
  ASSERT_TRUE(words) << words.error().text;
  EXPECT_EQ(*words, (std::vector<std::string>{"one", "two"}));
  EXPECT_TRUE(given.flag);
  EXPECT_EQ(given.text, "x");
}

TEST(OptionTable, AProgramToRunKeepsItsOptions) {
  Given given;
  auto words = given.parse({"-tx", "program", "-f"}, true);
  ASSERT_TRUE(words) << words.error().text;
  EXPECT_EQ(*words, (std::vector<std::string>{"program", "-f"}));
  EXPECT_FALSE(given.flag);
}

TEST(OptionTable, MistakesNameTheOption) {
  EXPECT_EQ(Given().parse({"-x"}).error().text, "there is no option -x");
  EXPECT_EQ(Given().parse({"-t"}).error().text, "option -t needs an argument");
  EXPECT_EQ(Given().parse({"-t", ""}).error().text, "-t: an empty word");
}

TEST(OptionTable, HelpHasEachRow) {
  Given given;
  ASSERT_TRUE(given.parse({"--help"}));
  EXPECT_TRUE(given.table.help_wanted());
  const std::string text = given.table.help_text();
  for (const char* part : {"usage: prog [OPTIONS] WORD", "does things", "-f ", "-t, --text TEXT", "--version"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part;
  }
}

}  // namespace
}  // namespace unetmap::parts
