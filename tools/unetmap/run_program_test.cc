// SPDX-License-Identifier: BSD-2-Clause
#include "run_program.hh"

#include <elf.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

namespace unetmap::cli {
namespace {

class RunProgram : public testing::Test {
 protected:
  RunProgram() {
    char name[] = "/tmp/unetmap-run-test-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~RunProgram() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& content, mode_t mode) {
    std::string path = folder_ + "/" + name;
    std::ofstream(path, std::ios::binary) << content;
    chmod(path.c_str(), mode);
    return path;
  }
  // The start of an ELF program with one program header of that type.
  static std::string elf(uint32_t part_type) {
    Elf64_Ehdr head{};
    memcpy(head.e_ident, ELFMAG, SELFMAG);
    head.e_ident[EI_CLASS] = ELFCLASS64;
    head.e_type = ET_EXEC;
    head.e_phoff = sizeof head;
    head.e_phentsize = sizeof(Elf64_Phdr);
    head.e_phnum = 1;
    Elf64_Phdr part{};
    part.p_type = part_type;
    return std::string(reinterpret_cast<char*>(&head), sizeof head) + std::string(reinterpret_cast<char*>(&part), sizeof part);
  }

  std::string folder_;
};

TEST_F(RunProgram, PreloadComesBeforeWhatIsThere) {
  EXPECT_EQ(*preload_with("/lib/a.so", nullptr), "/lib/a.so");
  EXPECT_EQ(*preload_with("/lib/a.so", ""), "/lib/a.so");
  EXPECT_EQ(*preload_with("/lib/a.so", "/lib/b.so"), "/lib/a.so:/lib/b.so");
}

TEST_F(RunProgram, PathsThatTheLoaderWouldSplitAreRefused) {
  EXPECT_FALSE(preload_with("/with space/a.so", nullptr).has_value());
  EXPECT_FALSE(preload_with("/with:colon/a.so", nullptr).has_value());
}

TEST_F(RunProgram, FindsAsTheShellDoes) {
  std::string file = write("tool", "#!/bin/sh\n", 0755);
  write("data", "", 0644);
  EXPECT_EQ(find_program("tool", ("/nonexistent:" + folder_).c_str()), file);
  EXPECT_EQ(find_program(file, ""), file);
  EXPECT_EQ(find_program("data", folder_.c_str()), "");
  EXPECT_EQ(find_program("tool", "/nonexistent"), "");
  EXPECT_EQ(find_program("/nonexistent/tool", folder_.c_str()), "");
}

TEST_F(RunProgram, StaticProgramsAreTold) {
  EXPECT_NE(cannot_preload(write("static", elf(PT_LOAD), 0755)).find("statically linked"), std::string::npos);
  EXPECT_EQ(cannot_preload(write("dynamic", elf(PT_INTERP), 0755)), "");
  EXPECT_EQ(cannot_preload(write("script", "#!/bin/sh\n", 0755)), "");
  EXPECT_EQ(cannot_preload(write("short", "\x7f"
                                         "ELF",
                                 0755)),
            "");
}

TEST_F(RunProgram, ProgramsWithOtherRightsAreTold) {
  std::string file = write("setuid", elf(PT_INTERP), 0755);
  if (chown(file.c_str(), 12345, gid_t(-1)) != 0) GTEST_SKIP() << "only root can give a file to another user";
  chmod(file.c_str(), 04755);
  EXPECT_NE(cannot_preload(file).find("another user's rights"), std::string::npos);
}

}  // namespace
}  // namespace unetmap::cli
