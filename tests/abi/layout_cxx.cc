// SPDX-License-Identifier: BSD-2-Clause
// Compiling this file is the test: the layout that C++ programs see.
#define NETMAP_WITH_LIBS
#include <net/netmap_user.h>

#include "layout_checks.h"

int main() { return 0; }
