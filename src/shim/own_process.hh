// SPDX-License-Identifier: BSD-2-Clause
// Descriptors of the shim's own, and whose memory this is.
#pragma once

#include <cstdint>

namespace unetmap::shim {

// False in a child of vfork(2) and the like, which has descriptors of its own but runs in its parent's memory: the
// bookkeeping there is the parent's and must not be touched. A system call; asked only where bookkeeping would change.
bool own_process() noexcept;

// Moves a descriptor out of the range that programs use, close-on-exec, and protects it from close() by the program.
// -1 stays -1.
int make_internal(int fd) noexcept;
// Closes one. errno is kept.
void close_internal(int fd) noexcept;
// True for those and for the descriptors of src/client: the program must not close them.
bool internal_number(int fd) noexcept;

// The highest number that a netmap descriptor was given here, as far as calls that we saw gave it.
int highest_number() noexcept;
void note_number(int fd) noexcept;

}  // namespace unetmap::shim
