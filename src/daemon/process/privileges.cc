// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/process/privileges.hh"

#include <cap-ng.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <spawn.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <string>

namespace unetmap::daemon {
namespace {

// The last one only where memory may not be locked without limit anyway: buffers of AF_XDP are.
// And the two before it only where devices are to be driven, for which it has to be known where memory is, or vfio be
// asked for a device without an IOMMU.
constexpr std::array<unsigned, 6> kOfInterfaces{CAP_NET_ADMIN, CAP_NET_RAW,   CAP_BPF,
                                                CAP_SYS_ADMIN, CAP_SYS_RAWIO, CAP_IPC_LOCK};
bool of_devices(unsigned right) { return right == CAP_SYS_ADMIN || right == CAP_SYS_RAWIO; }

constexpr rlim_t kLeastFiles = 128;

rlim_t most_files() {
  rlimit limit;
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : RLIM_INFINITY;
}

bool memory_limited() {
  rlimit limit;
  return getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

void raise_limit(int what) {
  rlimit limit;
  if (getrlimit(__rlimit_resource(what), &limit) < 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(__rlimit_resource(what), &limit);
}

// What can do without.
void where_possible(capng_select_t set) {
  if (capng_apply(set) < 0) return;
}

}  // namespace

Result<void> raise_limits() {
  raise_limit(RLIMIT_NOFILE);
  raise_limit(RLIMIT_FSIZE);
  rlimit no_limit{RLIM_INFINITY, RLIM_INFINITY};
  if (setrlimit(RLIMIT_MEMLOCK, &no_limit) < 0) raise_limit(RLIMIT_MEMLOCK);
  if (most_files() < kLeastFiles)
    return Error{EMFILE, "may have " + std::to_string(most_files()) + " files open (ulimit -Hn) and takes " +
                             std::to_string(kLeastFiles) + " at least; raise that, or start it first where it is higher"};
  return {};
}

uint64_t lockable_bytes() {
  rlimit limit;
  if (!memory_limited() || getrlimit(RLIMIT_MEMLOCK, &limit) < 0) return UINT64_MAX;
  bool may = capng_get_caps_process() == 0 && capng_have_capability(CAPNG_EFFECTIVE, CAP_IPC_LOCK) == 1;
  return may ? UINT64_MAX : limit.rlim_cur;
}

void load_device_drivers() {
  char name[] = "modprobe", quiet[] = "-q", all[] = "-a", type1[] = "vfio_iommu_type1", vfio[] = "vfio-pci",
       uio[] = "uio_pci_generic";
  char* const arguments[] = {name, quiet, all, type1, vfio, uio, nullptr};
  char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
  char* const environment[] = {path, nullptr};
  for (const char* program : {"/usr/sbin/modprobe", "/sbin/modprobe"}) {
    pid_t child;
    if (posix_spawn(&child, program, nullptr, nullptr, arguments, environment) != 0) continue;
    while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
    return;
  }
}

Result<void> drop_privileges(bool devices) {
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (capng_get_caps_process() < 0) return {};
  std::array<bool, kOfInterfaces.size()> have{};
  for (size_t i = 0; i < have.size(); i++)
    have[i] = capng_have_capability(CAPNG_PERMITTED, kOfInterfaces[i]) == 1 &&
              (kOfInterfaces[i] != CAP_IPC_LOCK || memory_limited()) && (!of_devices(kOfInterfaces[i]) || devices);
  capng_clear(CAPNG_SELECT_ALL);
  for (size_t i = 0; i < have.size(); i++)
    if (have[i]) (void)capng_update(CAPNG_ADD, CAPNG_BOUNDING_SET, kOfInterfaces[i]);
  // First the bounding set, which takes a right that goes with the rest; without it no_new_privs does the same.
  where_possible(CAPNG_SELECT_BOUNDS);
  // Ambient and inheritable: a keeper started by a daemon that is not root's has them, too.
  auto all = capng_type_t(CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE | CAPNG_AMBIENT);
  for (size_t i = 0; i < have.size(); i++)
    if (have[i]) (void)capng_update(CAPNG_ADD, all, kOfInterfaces[i]);
  const bool dropped = capng_apply(CAPNG_SELECT_CAPS) == 0;
  where_possible(CAPNG_SELECT_AMBIENT);  // a keeper without them says what it lacks
  if (!dropped)
    return Error{EPERM, "capabilities cannot be given up; it goes on with all that it was started with"};
  return {};
}

}  // namespace unetmap::daemon
