// SPDX-License-Identifier: BSD-2-Clause
// Bookkeeping when descriptor numbers come and go. All keep errno.
#pragma once

namespace unetmap::shim {

// `fd` is about to be closed.
void number_closing(int fd) noexcept;
// `to` is now the same as `from`.
void number_duplicated(int from, int to) noexcept;
// `fd` came from outside.
void number_received(int fd) noexcept;

}  // namespace unetmap::shim
