// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/privileges.hh"

#include <cap-ng.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <array>

namespace unetmap::daemon {
namespace {

constexpr std::array<unsigned, 3> kOfInterfaces{CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF};

void raise(int what) {
  rlimit limit;
  if (getrlimit(__rlimit_resource(what), &limit) < 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(__rlimit_resource(what), &limit);
}

}  // namespace

void raise_limits() {
  raise(RLIMIT_NOFILE);
  rlimit no_limit{RLIM_INFINITY, RLIM_INFINITY};
  if (setrlimit(RLIMIT_MEMLOCK, &no_limit) < 0) raise(RLIMIT_MEMLOCK);
}

void drop_privileges() {
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (capng_get_caps_process() < 0) return;
  std::array<bool, 3> have{};
  for (size_t i = 0; i < have.size(); i++) have[i] = capng_have_capability(CAPNG_PERMITTED, kOfInterfaces[i]) == 1;
  capng_clear(CAPNG_SELECT_ALL);
  for (size_t i = 0; i < have.size(); i++)
    if (have[i]) (void)capng_update(CAPNG_ADD, CAPNG_BOUNDING_SET, kOfInterfaces[i]);
  // First the bounding set, which takes a right that goes with the rest; without it no_new_privs does the same.
  (void)capng_apply(CAPNG_SELECT_BOUNDS);
  // Ambient and inheritable: a keeper started by a daemon that is not root's has them, too.
  auto all = capng_type_t(CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE | CAPNG_AMBIENT);
  for (size_t i = 0; i < have.size(); i++)
    if (have[i]) (void)capng_update(CAPNG_ADD, all, kOfInterfaces[i]);
  (void)capng_apply(CAPNG_SELECT_CAPS);
  (void)capng_apply(CAPNG_SELECT_AMBIENT);
}

}  // namespace unetmap::daemon
