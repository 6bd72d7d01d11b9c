// SPDX-License-Identifier: BSD-2-Clause
#include "doctor_record.hh"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace unetmap::cli {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

// A root folder with the files of a machine with two processors.
class DoctorRecord : public testing::Test {
 protected:
  DoctorRecord() {
    std::string name = testing::TempDir() + "doctor-XXXXXX";
    root_ = mkdtemp(name.data());
    file_ = root_ + "/record/record.json";
    for (const char* cpu : {"cpu0", "cpu1"}) {
      fs::create_directories(root_ + "/sys/devices/system/cpu/" + cpu + "/cpufreq");
      write(governor(cpu), "powersave");
    }
    fs::create_directories(root_ + "/sys/kernel/mm/transparent_hugepage");
    write(root_ + "/sys/kernel/mm/transparent_hugepage/shmem_enabled", "always within_size advise [never] deny force");
  }
  ~DoctorRecord() override { fs::remove_all(root_); }

  std::string governor(const std::string& cpu) {
    return root_ + "/sys/devices/system/cpu/" + cpu + "/cpufreq/scaling_governor";
  }
  static void write(const std::string& path, const std::string& text) { std::ofstream(path) << text << '\n'; }
  static std::string read(const std::string& path) {
    std::string line;
    std::ifstream file(path);
    std::getline(file, line);
    return line;
  }
  std::vector<Fix> fixes() {
    std::vector<Fix> out;
    for (const Check& check : check_machine(look_at_machine(root_)))
      out.insert(out.end(), check.fixes.begin(), check.fixes.end());
    return out;
  }

  std::string root_, file_;
};

TEST_F(DoctorRecord, FixesAndTakesBack) {
  FixRecord record(file_, root_);
  auto outcome = record.apply(fixes());
  ASSERT_TRUE(outcome) << outcome.error().text;
  EXPECT_EQ(outcome->done.size(), 3u);
  EXPECT_EQ(read(governor("cpu0")), "performance");
  EXPECT_EQ(read(root_ + "/sys/kernel/mm/transparent_hugepage/shmem_enabled"), "advise");

  auto undone = FixRecord(file_, root_).undo();
  ASSERT_TRUE(undone) << undone.error().text;
  EXPECT_EQ(undone->size(), 3u);
  EXPECT_EQ(read(governor("cpu0")), "powersave");
  EXPECT_EQ(read(governor("cpu1")), "powersave");
  EXPECT_EQ(read(root_ + "/sys/kernel/mm/transparent_hugepage/shmem_enabled"), "never");
  EXPECT_FALSE(fs::exists(file_));
  EXPECT_TRUE(FixRecord(file_, root_).undo()->empty());
}

TEST_F(DoctorRecord, TwoFixesAreTakenBackToTheFirstState) {
  ASSERT_TRUE(FixRecord(file_, root_).apply({WriteFile{governor("cpu0"), "performance"}}));
  ASSERT_TRUE(FixRecord(file_, root_).apply({WriteFile{governor("cpu0"), "schedutil"}}));
  ASSERT_TRUE(FixRecord(file_, root_).undo());
  EXPECT_EQ(read(governor("cpu0")), "powersave");
}

TEST_F(DoctorRecord, WhatSomebodyChangedSinceIsLeftAlone) {
  ASSERT_TRUE(FixRecord(file_, root_).apply({WriteFile{governor("cpu0"), "performance"}}));
  write(governor("cpu0"), "ondemand");
  auto undone = FixRecord(file_, root_).undo();
  ASSERT_TRUE(undone);
  EXPECT_THAT(*undone, ElementsAre(HasSubstr("changed by somebody since")));
  EXPECT_EQ(read(governor("cpu0")), "ondemand");
}

TEST_F(DoctorRecord, OtherFilesAreNeverWritten) {
  const std::string other = root_ + "/sys/other";
  write(other, "as it was");
  auto outcome = FixRecord(file_, root_).apply({WriteFile{other, "x"}});
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->failed.size(), 1u);
  fs::create_directories(root_ + "/record");
  write(file_, R"([{"kind": "file", "file": ")" + other + R"(", "was": "evil", "set": "as it was"}])");
  EXPECT_FALSE(FixRecord(file_, root_).undo());
  EXPECT_EQ(read(other), "as it was");
}

TEST_F(DoctorRecord, SpoiltRecordsAreRefused) {
  fs::create_directories(root_ + "/record");
  for (const char* text : {"nonsense", "{}", R"([{"kind": 1}])", R"([{}])", R"([1])"}) {
    write(file_, text);
    auto undone = FixRecord(file_, root_).undo();
    ASSERT_FALSE(undone) << text;
    EXPECT_THAT(undone.error().text, HasSubstr("remove it"));
  }
}

TEST_F(DoctorRecord, WithoutARecordNothingChanges) {
  EXPECT_FALSE(FixRecord("/proc/nowhere/record", root_).apply(fixes()));
  EXPECT_EQ(read(governor("cpu0")), "powersave");
}

}  // namespace
}  // namespace unetmap::cli
