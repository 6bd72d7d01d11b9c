// SPDX-License-Identifier: BSD-2-Clause
// On FreeBSD the kernel has netmap, and there is no library of ours in front of it: what programs ask it for besides netmap.
#include <unetmap/unetmap.h>

const char* unetmap_last_error(void) { return ""; }

int unetmap_port_exists(const char*) { return 0; }

int64_t unetmap_missed(int) { return -1; }

void unetmap_port_address(const char* port, unsigned char address[6]) {
  // As stable as the library's own, but not the same.
  uint64_t sum = 0xcbf29ce484222325;
  for (; *port; port++) sum = (sum ^ static_cast<unsigned char>(*port)) * 0x100000001b3;
  for (int i = 5; i > 0; i--, sum >>= 8) address[i] = static_cast<unsigned char>(sum);
  address[0] = 2;
}
