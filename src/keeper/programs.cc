// SPDX-License-Identifier: BSD-2-Clause
#include "keeper/programs.hh"

#include <bpf/bpf.h>
#include <sys/random.h>
#include <xdp/libxdp.h>

namespace unetmap::keeper {
namespace {

template <class T>
T random_number() {
  T out = 0;
  while (!out)
    if (getrandom(&out, sizeof out, 0) != sizeof out) out = 0;
  return out;
}

}  // namespace

void quiet_libraries() {
  libbpf_set_print(nullptr);
  libxdp_set_print(nullptr);
}

Error load_error(int code) {
  Error out = Error::from_errno(code, "BPF programs");
  if (code == EPERM || code == EACCES)
    out.text += "; they take CAP_BPF and CAP_NET_ADMIN of the machine (not of a container's user namespace)";
  return out;
}

uint32_t program_id(int program) {
  bpf_prog_info info{};
  uint32_t bytes = sizeof info;
  return bpf_obj_get_info_by_fd(program, &info, &bytes) == 0 ? info.id : 0;
}

uint32_t random_mark() { return random_number<uint32_t>(); }
uint64_t random_label() { return random_number<uint64_t>(); }

}  // namespace unetmap::keeper
