// SPDX-License-Identifier: BSD-2-Clause
// Programs that may make a few system calls only, with the library in front of the C library's.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>

namespace {

// What a program of the next test does; it is this one, run again, as its standard descriptors are to be new to us.
TEST(SandboxedChild, DISABLED_UsesItsFiles) {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getsockopt, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  sock_fprog program{sizeof filter / sizeof *filter, filter};
  ASSERT_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) _exit(77);
  const int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
  char byte = 1;
  const bool good = read(zero, &byte, 1) == 1 && byte == 0 && write(1, "", 0) == 0 && write(2, "", 0) == 0;
  _exit(good ? 0 : 1);
}

// A sandbox that knows what its program does knows nothing of what we look at.
TEST(Sandboxed, ProgramsUseTheirFiles) {
  const pid_t child = fork();
  if (child == 0) {
    execl("/proc/self/exe", "sandbox", "--gtest_filter=SandboxedChild.*", "--gtest_also_run_disabled_tests",
          "--gtest_brief=1", nullptr);
    _exit(99);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) GTEST_SKIP() << "no seccomp filters in this kernel";
  EXPECT_EQ(status, 0);
}

}  // namespace
