// SPDX-License-Identifier: BSD-2-Clause
// Contexts: memory, errors and the lock of the list of mapped regions.
#include <pthread.h>

#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "libnetmap/internal.hh"

namespace {

void print_error(nmctx*, const char* message) { std::fprintf(stderr, "%s\n", message); }
void* allocate(nmctx*, size_t size) { return std::malloc(size); }
void release(nmctx*, void* memory) { std::free(memory); }

pthread_mutex_t default_mutex = PTHREAD_MUTEX_INITIALIZER;

void lock_default(nmctx*, int take) {
  if (take != 0) {
    pthread_mutex_lock(&default_mutex);
  } else {
    pthread_mutex_unlock(&default_mutex);
  }
}

constinit nmctx builtin = {
    .verbose = 1,
    .error = print_error,
    .malloc = allocate,
    .free = release,
    .lock = lock_default,
    .mem_descs = nullptr,
};
constinit std::atomic<nmctx*> current{&builtin};

void vferror(nmctx* ctx, const char* fmt, va_list args) {
  if (ctx->verbose == 0) return;
  char message[512];
  std::vsnprintf(message, sizeof(message), fmt, args);
  ctx->error(ctx, message);
}

}  // namespace

namespace libnetmap {

int fail(nmctx* ctx, int error, const char* fmt, ...) noexcept {
  va_list args;
  va_start(args, fmt);
  vferror(ctx, fmt, args);
  va_end(args);
  errno = error;
  return -1;
}

}  // namespace libnetmap

extern "C" {

int nmctx_threadsafe = 1;

nmctx* nmctx_get(void) noexcept { return current.load(std::memory_order_acquire); }

nmctx* nmctx_set_default(nmctx* ctx) noexcept { return current.exchange(ctx, std::memory_order_acq_rel); }

void nmctx_set_threadsafe(void) noexcept { builtin.lock = lock_default; }

void nmctx_ferror(nmctx* ctx, const char* fmt, ...) noexcept {
  const int kept = errno;
  va_list args;
  va_start(args, fmt);
  vferror(ctx, fmt, args);
  va_end(args);
  errno = kept;
}

void* nmctx_malloc(nmctx* ctx, size_t size) noexcept { return ctx->malloc(ctx, size); }

void nmctx_free(nmctx* ctx, void* memory) noexcept { ctx->free(ctx, memory); }

void nmctx_lock(nmctx* ctx) noexcept {
  if (ctx->lock != nullptr) ctx->lock(ctx, 1);
}

void nmctx_unlock(nmctx* ctx) noexcept {
  if (ctx->lock != nullptr) ctx->lock(ctx, 0);
}

}  // extern "C"
