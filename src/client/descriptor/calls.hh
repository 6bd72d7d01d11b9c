// SPDX-License-Identifier: BSD-2-Clause
// Netmap descriptors of this process: what the interposition layer (src/shim) needs of them, and no more.
//
// A netmap descriptor is the client's end of a SOCK_SEQPACKET connection to the daemon; the kernel counts its copies
// over dup, fork, exec and SCM_RIGHTS. A Descriptor is this process's view of one such connection: duplicates share it.
// One met for the first time (inherited, received) is recognised by the address of its peer and described by the
// daemon.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace unetmap::client {

class Descriptor;
// Keeps a Descriptor alive while another thread closes its last number. Cheap to copy within reason; not on the data
// path.
using DescriptorRef = std::shared_ptr<Descriptor>;

// --- the table: file descriptor number -> Descriptor. Safe from any thread; usable in a forked child. ---

// Opens the device: connects to the daemon, starting it if need be. `flags`: O_CLOEXEC, O_NONBLOCK and what it is
// opened for (O_RDONLY, O_WRONLY) are honoured. Returns the new descriptor number, or -1 with errno (and a message
// through report_error).
int open_device(int flags) noexcept;

// True if `fd` could be a netmap descriptor: known as one, or not yet looked at. One load; the test for the fast path
// of calls that mostly see other descriptors.
bool maybe_netmap(int fd) noexcept;

// The Descriptor behind `fd`, nullptr if it is not a netmap descriptor. Looks at an unknown number once (system calls)
// and remembers the answer. Keeps errno.
DescriptorRef find(int fd) noexcept;

// The same answer without a lock, and so in signal handlers too: looks at an unknown number (system calls). Where it
// says no, note_other() remembers that; not in the child of a vfork.
bool is_netmap(int fd) noexcept;
void note_other(int fd) noexcept;
// The same of one that was just made, without a look.
void note_opened(int fd) noexcept;

// Whether find() and peek() said no although `fd` is one: there was no memory for what has to be known of it. The call
// is to fail with ENOMEM, which this leaves in errno; the next one looks again.
bool unknown_for_want_of_memory(int fd) noexcept;

// As find(), without taking a reference: for one call of the thread that does not close `fd` meanwhile. Fastest.
Descriptor* peek(int fd) noexcept;

// Bookkeeping by the shim, after the system call succeeded (forget: before it).
void forget(int fd) noexcept;                // close, or the target of dup2
void duplicated(int from, int to) noexcept;  // dup, dup2, dup3, F_DUPFD: `to` is now the same as `from`
void received(int fd) noexcept;              // arrived by SCM_RIGHTS or is otherwise unknown

// --- operations; all return as the system call would: -1 with errno on failure ---

// Any NIOC* request. Requests that are not netmap's give ENOTTY.
int control(Descriptor& d, unsigned long request, void* argument) noexcept;

// O_RDONLY, O_WRONLY or O_RDWR: what the descriptor was opened for, by whichever process. Keeps errno.
int access_mode(int fd) noexcept;

// mmap of the region the descriptor is bound to; `addr`, `flags` (MAP_FIXED, MAP_POPULATE) as in mmap(2).
void* map(Descriptor& d, void* addr, size_t length, int prot, int flags, off_t offset) noexcept;

// --- readiness. Events are those of poll(2): POLLIN, POLLOUT, POLLERR, POLLHUP (also RDNORM/WRNORM variants). ---

// What netmap's poll does: the syncs that `wanted` and the registration flags ask for, then which of `wanted` hold.
// POLLERR (always reported) when the daemon is gone, the descriptor is not registered or a ring was broken.
short sync_events(Descriptor& d, short wanted) noexcept;

// After arm(d, wanted), anything that makes one of `wanted` true also rings doorbell(d), at least once: call
// sync_events, arm, and sync_events once more where likely() says so; sleep only if that is still 0. Idempotent, cheap.
void arm(Descriptor& d, short wanted) noexcept;

// False if sync_events(d, wanted), which said 0, would say so again: some loads.
bool likely(Descriptor& d, short wanted) noexcept;

// An eventfd that is readable after a wake-up; -1 while not registered. Belongs to the library. The descriptor's own
// number besides reports POLLHUP when the daemon dies: put both in a wait set, that one with events 0.
int doorbell(Descriptor& d) noexcept;

// For edge-triggered reports: a number that changes whenever something new arrived (rx) or room appeared (tx).
uint64_t activity(Descriptor& d, short event) noexcept;

// Spins for a while if that is likely to pay: true if something may have happened (call sync_events again).
bool spin(Descriptor& d, short wanted) noexcept;

// Packets for the descriptor's receive rings that were lost there so far; -1 with errno if it is not registered.
int64_t missed(Descriptor& d) noexcept;

// fork(2) handlers are installed by the library itself.

}  // namespace unetmap::client
