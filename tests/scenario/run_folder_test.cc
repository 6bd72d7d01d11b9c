// SPDX-License-Identifier: BSD-2-Clause
// A test that is killed leaves neither its daemon, which a port that is plugged in would keep, nor its folder.
#include <gtest/gtest.h>

#include "plugged.hh"

TEST(RunFolder, GoesWithItsDaemonWhenTheTestIsKilled) {
  int told[2];
  ASSERT_EQ(pipe2(told, O_CLOEXEC), 0);
  const pid_t test = fork();
  if (test == 0) {
    const std::string folder = run_folder::make("/tmp/unetmap-gone-XXXXXX");
    setenv("UNETMAP_SOCKET", (folder + "/socket").c_str(), 1);
    (void)!commands::run("unetmap plug vale0:1 --stream " + folder + "/peer");
    (void)!write(told[1], folder.c_str(), folder.size() + 1);
    for (;;) pause();
  }
  close(told[1]);
  char folder[64] = "";
  EXPECT_GT(read(told[0], folder, sizeof folder - 1), 0);
  close(told[0]);
  const pid_t daemon = run_folder::listener_of(std::string(folder) + "/socket");
  EXPECT_GT(daemon, 1) << folder;
  kill(test, SIGKILL);
  waitpid(test, nullptr, 0);
  EXPECT_TRUE(flows::eventually([&] { return kill(daemon, 0) < 0; }));
  EXPECT_TRUE(flows::eventually([&] { return !std::filesystem::exists(folder); })) << folder;
}
