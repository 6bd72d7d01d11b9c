// SPDX-License-Identifier: BSD-2-Clause
// Loading of BPF programs, with what the kernel and libbpf have to say about a failure.
#pragma once

#include <bpf/libbpf.h>

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.hh"

namespace unetmap::keeper {

template <class Skeleton, void (*destroy)(Skeleton*)>
struct DestroySkeleton {
  void operator()(Skeleton* skeleton) const { destroy(skeleton); }
};
template <class Skeleton, void (*destroy)(Skeleton*)>
using Programs = std::unique_ptr<Skeleton, DestroySkeleton<Skeleton, destroy>>;

// libbpf and libxdp write nothing to the standard error from now on.
void quiet_libraries();
// After a failure to load: errno as a sentence, and the right that it takes.
Error load_error(int code);
// The kernel's number for a loaded program; 0 if it does not tell.
uint32_t program_id(int program);
// 32 and 64 bits that nobody else has; never 0.
uint32_t random_mark();
uint64_t random_label();

}  // namespace unetmap::keeper
