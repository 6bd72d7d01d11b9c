// SPDX-License-Identifier: BSD-2-Clause
// What the files of libnetmap share. Everything here runs inside noexcept C functions: nothing throws.
#pragma once

#include <errno.h>
#include <libnetmap.h>

#include <cstdint>

// One thing to undo together with nmport_parse, newest first. Allocated with the port's context, freed after run.
struct nmport_cleanup_d {
  nmport_cleanup_d* next;
  void (*run)(nmport_cleanup_d* self, nmport_d* port);
};

namespace libnetmap {

// nro_status of an option that the service has not looked at.
constexpr uint32_t kNotLookedAt = UINT32_MAX;

// What undoes keeps errno: programs look at it after they have closed what failed to open.
class KeepErrno {
 public:
  KeepErrno() noexcept : kept_(errno) {}
  KeepErrno(const KeepErrno&) = delete;
  KeepErrno& operator=(const KeepErrno&) = delete;
  ~KeepErrno() { errno = kept_; }

 private:
  int kept_;
};

// Sends a sentence to the context, then sets errno (the callback may change it). Returns -1.
[[gnu::format(printf, 3, 4)]] int fail(nmctx* ctx, int error, const char* fmt, ...) noexcept;

inline void push_cleanup(nmport_d* port, nmport_cleanup_d* cleanup) noexcept {
  cleanup->next = port->clist;
  port->clist = cleanup;
}

// Undoes the newest.
void pop_cleanup(nmport_d* port) noexcept;

// The options that portspecs may contain.
nmreq_opt_parser* port_option_parsers() noexcept;

// Reads a decimal number that takes all of text and is at most max.
bool parse_number(const char* text, uint64_t max, uint64_t* number) noexcept;

// Reports the failure of a call on the device: in the client's own words where it has some, else as
// "object: what failed: cause: remedy". Returns -1 with errno.
int call_failed(nmctx* ctx, int error, const char* object, const char* what) noexcept;

// Opens the device, with extra open flags; -1 with errno, the context told.
int open_device(nmctx* ctx, int extra_flags) noexcept;

}  // namespace libnetmap
