/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Before everything else where programs for FreeBSD are compiled on Linux to see that they keep to what both have: POSIX, and what
 * follows, which FreeBSD has as well, while glibc shows it under _GNU_SOURCE only.
 */
#define _DEFAULT_SOURCE 1
#define _POSIX_C_SOURCE 200809L

#include <locale.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

extern "C" {
/* libc++'s own need, and not declared otherwise. */
int pthread_cond_clockwait(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);
int vasprintf(char **, const char *, va_list);
long long strtoll_l(const char *, char **, int, locale_t);
unsigned long long strtoull_l(const char *, char **, int, locale_t);
float strtof_l(const char *, char **, locale_t);
double strtod_l(const char *, char **, locale_t);
long double strtold_l(const char *, char **, locale_t);
int asprintf(char **, const char *, ...);
/* For everybody. */
int accept4(int, struct sockaddr *, socklen_t *, int);
}
