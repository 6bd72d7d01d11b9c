// SPDX-License-Identifier: BSD-2-Clause
#include "keeper/privileges.hh"

#include <cap-ng.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <vector>

#include "base/output.hh"

namespace unetmap::keeper {
namespace {

void keep(const std::vector<unsigned>& wanted) {
  if (capng_get_caps_process() < 0) return;
  bool have[CAP_LAST_CAP + 1] = {};
  for (unsigned each : wanted) have[each] = capng_have_capability(CAPNG_PERMITTED, each) == 1;
  capng_clear(CAPNG_SELECT_ALL);
  // The bounding set first: that takes a right which goes with the others. Without it no_new_privs has to do.
  [[maybe_unused]] const bool bounded = capng_apply(CAPNG_SELECT_BOUNDS) == 0;
  for (unsigned each : wanted)
    if (have[each]) (void)capng_update(CAPNG_ADD, capng_type_t(CAPNG_EFFECTIVE | CAPNG_PERMITTED), each);
  if (capng_apply(CAPNG_SELECT_CAPS) < 0)
    print_err("unetmap-keeper: capabilities cannot be given up; it goes on with all that it was started with\n");
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

}  // namespace

void keep_needed_rights(bool device) {
  rlimit limit{RLIM_INFINITY, RLIM_INFINITY};
  if (setrlimit(RLIMIT_MEMLOCK, &limit) < 0 && getrlimit(RLIMIT_MEMLOCK, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_MEMLOCK, &limit);
  }
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  std::vector<unsigned> needed{CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF};
  if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) needed.push_back(CAP_IPC_LOCK);
  if (device) needed.insert(needed.end(), {CAP_SYS_ADMIN, CAP_SYS_RAWIO});
  keep(needed);
}

Result<void> check_rights(const wire::KeeperRequest& request) {
  bool tap_only =
      std::holds_alternative<wire::TapRequest>(request) || std::holds_alternative<wire::RestoreRequest>(request);
  std::string missing;
  if (capng_get_caps_process() < 0) return {};
  for (auto [capability, name] :
       {std::pair(CAP_NET_ADMIN, "CAP_NET_ADMIN"), {CAP_NET_RAW, "CAP_NET_RAW"}, {CAP_BPF, "CAP_BPF"}}) {
    if (capng_have_capability(CAPNG_EFFECTIVE, capability) == 1) continue;
    missing += (missing.empty() ? "" : ", ") + std::string(name);
    if (tap_only) break;
  }
  if (tap_only && missing != "CAP_NET_ADMIN") missing.clear();
  if (missing.empty()) return {};
  return Error{EPERM, "no right to change network interfaces, " + missing +
                          " missing; run unetmapd as root, or with these capabilities (systemd: AmbientCapabilities=, "
                          "containers: --cap-add)"};
}

void keep_rights_to_undo(bool admin) {
  if (admin)
    keep({CAP_NET_ADMIN});
  else
    keep({});
}

}  // namespace unetmap::keeper
