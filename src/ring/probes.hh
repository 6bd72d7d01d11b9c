// SPDX-License-Identifier: BSD-2-Clause
// Static probes (USDT) for bpftrace, perf and gdb: unetmap-probes(8) describes them for users, and holds their names and
// arguments as an interface. Each is one no-op where it stands, and a note in the file that says where its arguments are:
// they stand behind a branch that finds a loss, a sleeper or a change, never on a packet's way.
#pragma once

#include <sys/sdt.h>

#include <cstdint>

#include "ring/tap_record.hh"

namespace unetmap::probe {

// `frames` that the port called `name`, of index `port`, sent did not reach the port of index `dest` (kNoPort: they were
// for nobody in particular).
[[gnu::always_inline]] inline void drop(const char* name, uint16_t port, uint16_t dest, TapCause cause, uint64_t frames) {
  DTRACE_PROBE5(unetmap, drop, name, port, dest, uint8_t(cause), frames);
}
// The same of copies, for a monitor or a tap.
[[gnu::always_inline]] inline void drop_copy(const char* name, uint16_t port, uint16_t monitor, TapCause cause, uint64_t frames) {
  DTRACE_PROBE5(unetmap, drop_copy, name, port, monitor, uint8_t(cause), frames);
}
// What lies in the port's receive ring, or was to, makes no sense and is thrown away.
[[gnu::always_inline]] inline void drop_corrupt() { DTRACE_PROBE(unetmap, drop_corrupt); }

// File `file` is on a list of sleepers; who fills what it waits for will ring for it.
[[gnu::always_inline]] inline void arm(uint32_t file) { DTRACE_PROBE1(unetmap, arm, file); }
// This thread rings for that file; `port` is what it sleeps at.
[[gnu::always_inline]] inline void wake(uint32_t file, uint16_t port) { DTRACE_PROBE2(unetmap, wake, file, port); }
// While it lives this thread sleeps in the kernel, `timeout_ns` at most (negative: without end).
class Sleep {
 public:
  [[gnu::always_inline]] explicit Sleep(int64_t timeout_ns) { DTRACE_PROBE1(unetmap, sleep, timeout_ns); }
  [[gnu::always_inline]] ~Sleep() { DTRACE_PROBE(unetmap, awake); }
  Sleep(const Sleep&) = delete;
  Sleep& operator=(const Sleep&) = delete;
};

// The forwarding table. `mac` is a number whose lowest byte is the first on the wire.
enum class TableChange : uint8_t {
  kLearn = 1,   // an address that was not there, or no longer
  kMove = 2,    // behind another port than before, which was `from`
  kEvict = 3,   // a living entry makes room for another address
  kPin = 4,     // by the daemon, on request
  kForget = 5,  // likewise
};
[[gnu::always_inline]] inline void table(TableChange change, uint64_t mac, uint16_t port, uint16_t from) {
  DTRACE_PROBE4(unetmap, table, uint8_t(change), mac, port, from);
}

}  // namespace unetmap::probe
