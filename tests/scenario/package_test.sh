#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The Debian package of a build: right content, and programs, headers and library that work from where they are unpacked.
# usage: package_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu

build=${1:-${UNETMAP_BUILD:-}}
[ -n "$build" ] || { echo "usage: package_test.sh BUILD_DIR" >&2; exit 2; }
build=$(cd "$build" && pwd)

skip() { echo "SKIP: $*"; exit 77; }
fail() { echo "FAIL: $*" >&2; exit 1; }
step() { echo "== $*"; }

for program in cpack dpkg-deb dpkg-shlibdeps cc pkg-config gzip readelf timeout; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
[ -f "$build/CPackConfig.cmake" ] || skip "$build is not a configured build with packaging"
for program in unetmapd unetmap pkt-gen vale-ctl bridge; do
  [ -x "$build/bin/$program" ] || skip "$program is not built in $build"
done
if readelf -d "$build/lib/libunetmap.so" | grep -q 'NEEDED.*lib[at]san'; then
  skip "a sanitizer build is not for packaging"
fi

work=$(mktemp -d)
receiver=
activator=
cleanup() {
  for pid in $receiver $activator; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

step "make the package"
(cd "$work" && cpack -G DEB --config "$build/CPackConfig.cmake" -B "$work/out") >"$work/cpack.log" 2>&1 ||
  { cat "$work/cpack.log"; fail "cpack"; }
set -- "$work"/out/*.deb
[ $# -eq 1 ] && [ -f "$1" ] || fail "cpack made not one package but: $*"
deb=$1

step "its control data"
field() { dpkg-deb -f "$deb" "$1"; }
[ "$(field Package)" = unetmap ] || fail "Package is '$(field Package)'"
[ "$(field Section)" = net ] || fail "Section is '$(field Section)'"
[ "$(field Architecture)" = "$(dpkg --print-architecture)" ] || fail "Architecture is '$(field Architecture)'"
case "$(field Depends)" in *libc6*) ;; *) fail "Depends lacks libc6: '$(field Depends)'" ;; esac
case "$(field Depends)" in *unetmap*) fail "the package depends on itself: '$(field Depends)'" ;; esac

step "its content"
dpkg-deb -c "$deb" >"$work/content"
if awk '$2 != "root/root" { bad = 1; print } END { exit !bad }' "$work/content"; then fail "files not owned by root"; fi
if awk '{ print $6 }' "$work/content" | grep -vE '^\./(usr/.*)?$'; then fail "files outside /usr"; fi
root=$work/root
dpkg-deb -x "$deb" "$root"
lib=$(dirname "$(find "$root/usr/lib" -name libunetmap.so)")
for file in usr/bin/unetmapd usr/bin/unetmap usr/bin/pkt-gen usr/bin/vale-ctl usr/bin/valectl usr/bin/bridge \
  usr/bin/netmap-bridge usr/include/net/netmap.h usr/include/net/netmap_user.h usr/include/libnetmap.h \
  usr/lib/systemd/system/unetmapd.service usr/lib/systemd/system/unetmapd.socket \
  usr/lib/systemd/user/unetmapd.service usr/lib/systemd/user/unetmapd.socket usr/share/doc/unetmap/copyright \
  usr/share/man/man8/vale-ctl.8.gz usr/share/man/man8/valectl.8.gz usr/share/man/man8/netmap-bridge.8.gz \
  usr/share/man/man7/unetmap.7.gz usr/share/man/man4/unetmap-vale.4.gz; do
  [ -f "$root/$file" ] || fail "the package lacks $file"
done
[ -e "$lib/libunetmap.so.0" ] && [ -e "$lib/libnetmap.so" ] || fail "library names are missing in $lib"
[ -f "$lib/pkgconfig/unetmap.pc" ] && [ -f "$lib/pkgconfig/libnetmap.pc" ] || fail "pkg-config files are missing in $lib"
readelf -d "$lib/libunetmap.so.0" | grep -q 'SONAME.*\[libunetmap.so.0\]' || fail "the library's SONAME is not libunetmap.so.0"
if find "$root" -type l ! -exec test -e {} \; -print | grep .; then fail "dangling links"; fi
find "$root/usr/share/man" -name '*.gz' -exec gzip -t {} + || fail "a manual page is not a gzip file"
dpkg-deb -e "$deb" "$work/control"
for script in "$work"/control/prerm "$work"/control/postinst; do sh -n "$script" || fail "$script does not parse"; done
# iproute2 has a program and a page named bridge: two packages must not have one path.
for taken in usr/sbin/bridge sbin/bridge usr/share/man/man8/bridge.8.gz; do
  [ ! -e "$root/$taken" ] || fail "$taken belongs to iproute2"
done
if command -v systemd-analyze >/dev/null; then
  # Pages and programs are looked up on this machine, where the package is not installed.
  systemd-analyze verify "$root"/usr/lib/systemd/system/unetmapd.service "$root"/usr/lib/systemd/system/unetmapd.socket \
    2>&1 | grep 'unetmapd\.' | grep -vE "not executable|man [a-z]" && fail "systemd objects to the units"
fi

for file in usr/bin/l2open usr/bin/l2send usr/bin/l2recv usr/bin/l2-send.sh usr/bin/linux-pktgen.sh usr/bin/prep-taps.sh \
  usr/bin/unprep-taps.sh usr/bin/lb usr/bin/nmreplay usr/bin/tlem usr/share/man/man8/l2open.8.gz usr/share/man/man8/tlem.8.gz \
  usr/share/man/man8/unprep-taps.sh.8.gz; do
  [ -f "$root/$file" ] || fail "the package lacks $file"
done
[ -x "$lib/wireshark/extcap/unetmap-extcap" ] || fail "Wireshark's helper is missing in $lib"
"$lib/wireshark/extcap/unetmap-extcap" --extcap-interfaces 2>/dev/null | grep -q '^extcap {version=' || fail "Wireshark's helper does not answer"

step "its programs, on a daemon of their own"
export UNETMAP_SOCKET="$work/socket"
# The package must find its own daemon and library, not those of the build.
unset LD_PRELOAD LD_LIBRARY_PATH UNETMAPD || true
bin=$root/usr/bin
timeout 60 "$bin/pkt-gen" -i vale0:rx -f rx -n 100 -w 0 >"$work/rx.log" 2>&1 &
receiver=$!
tries=0
until "$bin/vale-ctl" -l vale0:rx >"$work/list.log" 2>&1; do
  tries=$((tries + 1))
  kill -0 "$receiver" 2>/dev/null && [ $tries -lt 300 ] || { cat "$work/rx.log" "$work/list.log"; fail "the receiver did not come up"; }
  sleep 0.1
done
timeout 60 "$bin/pkt-gen" -i vale0:tx -f tx -n 1000 -l 60 -w 0 >"$work/tx.log" 2>&1 || { cat "$work/tx.log"; fail "pkt-gen -f tx"; }
wait "$receiver" || { cat "$work/rx.log"; fail "pkt-gen -f rx"; }
receiver=
for exe in /proc/[0-9]*/exe; do readlink "$exe" || true; done 2>/dev/null | grep -qx "$bin/unetmapd" ||
  fail "the daemon that runs is not the package's"
grep -q 'Sent 1000 packets' "$work/tx.log" || { cat "$work/tx.log"; fail "the sender does not report 1000 packets"; }
grep -qE 'Received [0-9]+ packets' "$work/rx.log" || { cat "$work/rx.log"; fail "the receiver reports nothing"; }

step "a C program built with its pkg-config file"
export PKG_CONFIG_PATH="$lib/pkgconfig"
cat >"$work/two_ports.c" <<'C'
#include <libnetmap.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

int main(void) {
  char frame[60];
  memset(frame, 0x5a, sizeof frame);
  memset(frame, 0xff, 6);
  frame[6] = 2;
  struct nmport_d* a = nmport_open("vale7:a");
  struct nmport_d* b = nmport_open("vale7:b");
  if (!a || !b) return 1;
  if (nmport_inject(a, frame, sizeof frame) != (int)sizeof frame || ioctl(a->fd, NIOCTXSYNC, NULL)) return 2;
  struct pollfd p = {.fd = b->fd, .events = POLLIN};
  if (poll(&p, 1, 10000) != 1) return 3;
  struct netmap_ring* ring = NETMAP_RXRING(b->nifp, b->first_rx_ring);
  if (nm_ring_empty(ring) || ring->slot[ring->head].len != sizeof frame) return 4;
  if (memcmp(NETMAP_BUF(ring, ring->slot[ring->head].buf_idx), frame, sizeof frame)) return 5;
  nmport_close(a);
  nmport_close(b);
  puts("one frame, byte for byte");
  return 0;
}
C
for module in unetmap libnetmap; do
  # Words of pkg-config are separate arguments.
  # shellcheck disable=SC2046
  cc -Wall -Werror "$work/two_ports.c" -o "$work/two_ports" $(pkg-config --cflags --libs "$module") || fail "compile with $module.pc"
  LD_LIBRARY_PATH=$lib timeout 60 "$work/two_ports" || fail "the program built with $module.pc: exit $?"
done

cc -Wall -Werror "$work/two_ports.c" -o "$work/two_ports" -I"$root/usr/include" -L"$lib" -lnetmap || fail "link with -lnetmap"
LD_LIBRARY_PATH=$lib timeout 60 "$work/two_ports" || fail "the program linked with -lnetmap: exit $?"

step "a C++ program"
cat >"$work/port.cc" <<'CC'
#include <cstdio>
#include <unetmap/port.hh>

int main() {
  unetmap::Port port = unetmap::Port::open("vale7:c");
  bool refused = false;
  try {
    unetmap::Port::open("vale7:not-a-name");
  } catch (const std::system_error& error) {
    refused = true;
    std::puts(error.what());
  }
  return refused ? 0 : 1;
}
CC
if command -v c++ >/dev/null; then
  # shellcheck disable=SC2046
  c++ -std=c++20 -Wall -Werror "$work/port.cc" -o "$work/port" $(pkg-config --cflags --libs unetmap) || fail "compile C++"
  LD_LIBRARY_PATH=$lib timeout 60 "$work/port" || fail "the C++ program: exit $?"
else
  echo "no C++ compiler, left out"
fi

step "an unmodified program under unetmap run"
cat >"$work/nm_open.c" <<'C'
#define NETMAP_WITH_LIBS
#include <net/netmap_user.h>
#include <stdio.h>

int main(void) {
  struct nm_desc* d = nm_open("vale8:x", NULL, 0, NULL);
  if (!d) return 1;
  printf("%u tx rings\n", d->nifp->ni_tx_rings);
  nm_close(d);
  return 0;
}
C
# shellcheck disable=SC2046
cc -Wall "$work/nm_open.c" -o "$work/nm_open" $(pkg-config --cflags unetmap) || fail "compile against the headers alone"
if readelf -d "$work/nm_open" | grep -q unetmap; then fail "the program is linked with the library"; fi
timeout 60 "$bin/unetmap" run -- "$work/nm_open" || fail "under unetmap run: exit $?"

step "a daemon started through its socket"
if command -v systemd-socket-activate >/dev/null; then
  systemd-socket-activate --seqpacket -l "$work/activated" "$bin/unetmapd" --foreground >"$work/activated.log" 2>&1 &
  activator=$!
  tries=0
  until [ -S "$work/activated" ]; do
    tries=$((tries + 1))
    [ $tries -lt 300 ] || fail "systemd-socket-activate does not listen"
    sleep 0.1
  done
  UNETMAP_SOCKET=$work/activated UNETMAPD=/nonexistent timeout 60 "$bin/vale-ctl" -g vale0:x >/dev/null ||
    { cat "$work/activated.log"; fail "no answer through an activated socket"; }
  kill $activator
  wait $activator || { cat "$work/activated.log"; fail "the activated daemon ended with $?"; }
  activator=
else
  echo "systemd-socket-activate is not installed, left out"
fi

step "its page links lead somewhere"
if command -v man >/dev/null; then
  MANPATH=$root/usr/share/man man valectl 2>/dev/null | grep -q vale-ctl || fail "man valectl shows no page"
fi
echo OK
