/* SPDX-License-Identifier: BSD-2-Clause */
/* What libunetmap.so offers beyond the netmap API: errors in words, and what was lost at the end. C and C++. */
#ifndef UNETMAP_UNETMAP_H_
#define UNETMAP_UNETMAP_H_

#include <stdint.h>

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

/*
 * 1 if the running daemon has a port of this name, or a persistent port, as requests name them ("vale0:1", "v0"); 0 if
 * not, or if no daemon runs. Starts none.
 */
int unetmap_port_exists(const char *name);

/*
 * Packets that were in transmit rings of this process when it closed their ports (close, nm_close, nmport_close, a C++
 * port's destructor), and that nobody had taken: they are lost. A line through the callback above tells of each port.
 * What is left when the process ends without closing is not counted. nmport_flush() waits until there is nothing left.
 */
uint64_t unetmap_abandoned(void);

/*
 * Packets for the receive rings of a registered netmap descriptor that were lost since its port was made, as its rings
 * were full or too small for them: what the port's reader was too slow for. -1 with errno for other descriptors. Frames
 * that an interface in the mode "packet" lost are not among them.
 */
int64_t unetmap_missed(int fd);

/*
 * The Ethernet address that belongs to a port without a network interface, such as "vale0:1": locally administered,
 * made from the port's name, always the same.
 */
void unetmap_port_address(const char* port, unsigned char address[6]);

#ifdef __cplusplus
}
#endif

#endif /* UNETMAP_UNETMAP_H_ */
