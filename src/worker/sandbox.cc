// SPDX-License-Identifier: BSD-2-Clause
#include "worker/sandbox.hh"

#include <cap-ng.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

namespace unetmap::worker {
namespace {

// Names, not numbers: what an architecture lacks is left out.
constexpr const char* kAllowed[] = {
    "accept4",
    "bind",
    "brk",
    "clock_gettime",
    "clock_nanosleep",
    "close",
    "connect",
    "dup",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "eventfd2",
    "exit",
    "exit_group",
    "fallocate",
    "fcntl",
    "fstat",
    "fstatfs",
    "ftruncate",
    "futex",
    "getcpu",
    "getpeername",
    "getpid",
    "getrandom",
    "getsockname",
    "getsockopt",
    "gettid",
    "gettimeofday",
    "ioctl",
    "listen",
    "lseek",
    "madvise",
    "membarrier",
    "memfd_create",
    "mremap",
    "munmap",
    "nanosleep",
    "newfstatat",
    "poll",
    "ppoll",
    "pread64",
    "preadv2",
    "pwrite64",
    "read",
    "readv",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "rename",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_getaffinity",
    "sched_setaffinity",
    "sched_yield",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setitimer",
    "setsockopt",
    "shutdown",
    "sigaltstack",
    "socketpair",
    "sysinfo",
    "tgkill",
    "timerfd_create",
    "timerfd_settime",
    "unlink",
    "write",
    "writev",
#ifdef __SANITIZE_ADDRESS__
    // How sanitizers find out whether an address can be read, and whose report it is.
    "pipe",
    "pipe2",
    "readlink",
#endif
};

}  // namespace

Result<void> drop_privileges() {
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  capng_clear(CAPNG_SELECT_CAPS);
  if (capng_apply(CAPNG_SELECT_CAPS) < 0) return Error{EPERM, "unetmap-worker: capabilities cannot be given up"};
  rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  return {};
}

Result<void> filter_system_calls() {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
  if (!filter) return Error{ENOMEM, "unetmap-worker: system call filter"};
  int failed = 0;
  for (const char* name : kAllowed) {
    int number = seccomp_syscall_resolve_name(name);
    if (number != __NR_SCMP_ERROR && failed == 0) failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
  }
  auto allow_if = [&](const char* name, scmp_arg_cmp condition) {
    if (failed == 0)
      failed = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, seccomp_syscall_resolve_name(name), 1, &condition);
  };
  allow_if("socket", SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
  // Signal 0: whether the predecessor that left a ring locked is dead. Without an answer the ring stays locked.
  allow_if("kill", SCMP_A1(SCMP_CMP_EQ, 0));
  // How the library looks at the addresses in a request: in our own memory.
  for (const char* name : {"process_vm_readv", "process_vm_writev"})
    allow_if(name, SCMP_A0(SCMP_CMP_EQ, scmp_datum_t(getpid())));
  allow_if("mmap", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
  allow_if("mprotect", SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
  if (failed == 0) failed = seccomp_load(filter);
  seccomp_release(filter);
  if (failed < 0) return Error::from_errno(-failed, "unetmap-worker: system call filter");
  return {};
}

}  // namespace unetmap::worker
