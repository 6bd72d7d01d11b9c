#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A program that loads the library behind the C library, as ctypes does: nmport_* work without `unetmap run`.
# usage: dlopen_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmapd pkt-gen
command -v python3 >/dev/null || skip "python3 is not installed"
if nm -D "$library" 2>/dev/null | grep -q __asan_init; then skip "a sanitized library cannot be loaded late"; fi

cat >"$work/load.py" <<'P'
import ctypes, os, sys

lib = ctypes.CDLL(sys.argv[1], use_errno=True)
lib.nmport_open.restype = ctypes.c_void_p
lib.nmport_open.argtypes = [ctypes.c_char_p]
lib.nmport_inject.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
lib.nmport_flush.argtypes = [ctypes.c_void_p, ctypes.c_int]
lib.nmport_close.argtypes = [ctypes.c_void_p]
lib.unetmap_last_error.restype = ctypes.c_char_p

port = lib.nmport_open(b"vale0:py")
assert port, lib.unetmap_last_error()
frame = bytes.fromhex("ffffffffffff02000000000188b5") + b"x" * 46
for i in range(500):
    assert lib.nmport_inject(port, frame, len(frame)) == len(frame), i
assert lib.nmport_flush(port, 10000) == 0, os.strerror(ctypes.get_errno())
lib.nmport_close(port)

# A failure is one line that names the object once.
assert not lib.nmport_open(b"netmap:nosuch")
said = lib.unetmap_last_error().decode()
assert "\n" not in said and "nosuch: nosuch" not in said and "no network interface" in said, said

# Its own calls serve its descriptors, through the handle.
fd = lib.open(b"/dev/netmap", os.O_RDWR)
assert fd >= 0, lib.unetmap_last_error()
assert lib.close(fd) == 0
print("ok")
P
step "a program that loads the library sends"
start rx "$bin/pkt-gen" -i vale0:rx -f rx -n 500 -w 0
rx=$started
wait_for "$work/rx.out" 'Receiving from' "$rx"
run load python3 "$work/load.py" "$library" || fail "the program gave $?"
ended "$rx" || fail "the receiver gave $?"
must_have "$work/rx.out" '^Received 500 packets'
echo OK
