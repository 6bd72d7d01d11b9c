/* SPDX-License-Identifier: BSD-2-Clause */
/* What libunetmap.so offers beyond the netmap API: errors in words. C and C++. */
#ifndef UNETMAP_UNETMAP_H_
#define UNETMAP_UNETMAP_H_

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The last failure of an open, ioctl or mmap on a netmap descriptor in this thread: one line that names the object, the
 * cause and the remedy; "" if there was none. Valid until the next failure in this thread. Never NULL.
 */
const char *unetmap_last_error(void);

/*
 * Calls `f` with such a line at each failure, in the thread that failed, instead of printing it on stderr when
 * UNETMAP_LOG is set in the environment. NULL restores that. `f` must not call back into netmap descriptors.
 */
typedef void (*unetmap_error_callback)(const char *text);
void unetmap_set_error_callback(unetmap_error_callback f);

#ifdef __cplusplus
}
#endif

#endif /* UNETMAP_UNETMAP_H_ */
