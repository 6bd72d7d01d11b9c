// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/privileges.hh"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <initializer_list>

namespace unetmap::daemon {

void raise_file_limit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

void raise_memory_limit() {
  rlimit limit{RLIM_INFINITY, RLIM_INFINITY};
  if (setrlimit(RLIMIT_MEMLOCK, &limit) == 0 || getrlimit(RLIMIT_MEMLOCK, &limit) < 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_MEMLOCK, &limit);
}

void drop_privileges() {
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  __user_cap_header_struct head{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct have[2] = {}, keep[2] = {};
  if (syscall(SYS_capget, &head, have) < 0) return;
  for (int capability : {CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF}) {
    uint32_t bit = have[CAP_TO_INDEX(capability)].permitted & CAP_TO_MASK(capability);
    keep[CAP_TO_INDEX(capability)].permitted |= bit;
    keep[CAP_TO_INDEX(capability)].effective |= bit;
    keep[CAP_TO_INDEX(capability)].inheritable |= bit;
  }
  (void)syscall(SYS_capset, &head, keep);
  for (int capability : {CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF})
    if (keep[CAP_TO_INDEX(capability)].permitted & CAP_TO_MASK(capability))
      prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
}

}  // namespace unetmap::daemon
