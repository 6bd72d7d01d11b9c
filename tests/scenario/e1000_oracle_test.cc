// SPDX-License-Identifier: BSD-2-Clause
// Our e1000 and QEMU's, asked the same: scripts written by hand (oracle/*.script) and scripts made of numbers. The
// first line that two devices answer differently is shown, with what led there. UNETMAP_ORACLE_SCRIPTS says how many
// scripts are made (default 20), UNETMAP_ORACLE_SEED the first one's number.
#include <gtest/gtest.h>

#include <fstream>

#include "oracle/generate.hh"
#include "oracle/ours.hh"
#include "oracle/qemu.hh"

namespace oracle {
namespace {

constexpr std::array<uint8_t, 6> kMac{0x52, 0x54, 0, 0x12, 0x34, 0x56};
constexpr const char* kMacText = "52:54:00:12:34:56";
constexpr size_t kShown = 400;  // characters of an answer

std::string program() {
  const char* const named = getenv("UNETMAP_QTEST_QEMU");
  return named != nullptr ? named : "qemu-system-x86_64";
}

class Oracle : public testing::Test {
 protected:
  void SetUp() override {
    try {
      Qemu(program(), kMacText);
    } catch (const std::runtime_error& reason) {
      GTEST_SKIP() << program() << ": " << reason.what()
                   << "; one with the accelerator qtest is needed: name it in UNETMAP_QTEST_QEMU";
    }
  }
  // False: they differ.
  static bool compare(const std::string& name, const std::vector<std::string>& script) {
    Ours ours(kMac);
    Qemu qemu(program(), kMacText);
    size_t compared = 0;
    for (size_t i = 0; i < script.size(); i++) {
      const std::string a = run_line(script[i], ours), b = run_line(script[i], qemu);
      compared += !a.empty();
      if (a == b || (script[i].rfind("read ", 0) == 0 && !qemu.serves(register_of(word(script[i], 1))))) continue;
      ADD_FAILURE() << difference(name, script, i, a, b);
      return false;
    }
    EXPECT_GT(compared, 3u) << name << " compares next to nothing";
    return true;
  }

 private:
  static std::string word(const std::string& line, int index) {
    std::istringstream in(line);
    std::string out;
    for (int i = 0; i <= index; i++) in >> out;
    return out;
  }
  static std::string difference(const std::string& name, const std::vector<std::string>& script, size_t at,
                                const std::string& a, const std::string& b) {
    size_t first = 0;
    while (first < std::min(a.size(), b.size()) && a[first] == b[first]) first++;
    const size_t from = first < 40 ? 0 : first - 40;
    std::string out = name + ":" + std::to_string(at + 1) + ": " + script[at].substr(0, 100) +
                      "\nours, from character " + std::to_string(from) + ": " + a.substr(from, kShown) +
                      "\nQEMU's: " + b.substr(from, kShown) + "\nbefore it:\n";
    for (size_t i = at < 12 ? 0 : at - 12; i < at; i++) out += "  " + script[i].substr(0, 120) + "\n";
    return out;
  }
};

TEST_F(Oracle, ScriptsByHand) {
  const std::filesystem::path folder = std::filesystem::path(getenv("SOURCE_DIR")) / "tests/scenario/oracle";
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".script") continue;
    std::ifstream in(entry.path());
    std::vector<std::string> script;
    for (std::string line; std::getline(in, line);) script.push_back(line);
    compare(entry.path().filename(), script);
    count++;
  }
  EXPECT_GT(count, 3u);
}

TEST_F(Oracle, ScriptsMadeOfNumbers) {
  const auto number = [](const char* name, uint64_t otherwise) {
    const char* const text = getenv(name);
    return text != nullptr ? std::stoull(text) : otherwise;
  };
  const uint64_t first = number("UNETMAP_ORACLE_SEED", 1), count = number("UNETMAP_ORACLE_SCRIPTS", 20);
  for (uint64_t seed = first; seed < first + count; seed++)
    if (!compare("seed " + std::to_string(seed), Generator(seed).script(60))) return;
}

}  // namespace
}  // namespace oracle
