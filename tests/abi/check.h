/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For the programs of this folder: numbered Ethernet frames, waiting with a limit, and ending with a message. Each
 * program is written the way a known netmap program is; it exits 0, or 1 after saying what was wrong.
 */
#ifndef UNETMAP_TESTS_ABI_CHECK_H_
#define UNETMAP_TESTS_ABI_CHECK_H_

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 5000 /* for what happens at once when it works */
#define FRAME_LEN 60

static void __attribute__((noreturn, format(printf, 2, 3))) failed(int line, const char* fmt, ...) {
  int error = errno;
  va_list args;
  fprintf(stderr, "FAILED at line %d: ", line);
  va_start(args, fmt);
  vfprintf(stderr, fmt, args);
  va_end(args);
  fprintf(stderr, " (errno: %s)\n", strerror(error));
  exit(1);
}

#define CHECK(condition, ...)                        \
  do {                                               \
    if (!(condition)) failed(__LINE__, __VA_ARGS__); \
  } while (0)

/* A frame from station `from` to everybody, whose content follows from its number and length. */
static inline void frame_make(void* frame, size_t len, unsigned from, unsigned number) {
  uint8_t* bytes = (uint8_t*)frame;
  size_t i;
  CHECK(bytes != NULL && len >= 14, "a frame of %zu bytes", len);
  memset(bytes, 0xff, 6);
  memset(bytes + 6, 0, 6);
  bytes[6] = 0x02;
  bytes[11] = (uint8_t)from;
  bytes[12] = 0x88;
  bytes[13] = 0xb5;
  for (i = 14; i < len; i++) bytes[i] = (uint8_t)(number + i);
}

/* True when the bytes are those of frame_make. */
static inline int frame_is(const void* frame, size_t len, unsigned from, unsigned number) {
  static uint8_t expected[65536];
  if (len < 14 || len > sizeof(expected)) return 0;
  frame_make(expected, len, from, number);
  return memcmp(frame, expected, len) == 0;
}

/* Waits for one event on a descriptor. */
static inline void wait_for(int fd, short events, const char* what) {
  struct pollfd entry;
  int ready;
  entry.fd = fd;
  entry.events = events;
  entry.revents = 0;
  ready = poll(&entry, 1, WAIT_MS);
  CHECK(ready == 1, "poll for %s: %d instead of 1", what, ready);
  CHECK((entry.revents & events) != 0, "poll for %s: revents 0x%x", what, (unsigned)entry.revents);
}

static inline void need_arguments(int argc, int wanted, const char* usage) {
  if (argc - 1 != wanted) {
    fprintf(stderr, "usage: %s\n", usage);
    exit(2);
  }
}

#endif /* UNETMAP_TESTS_ABI_CHECK_H_ */
