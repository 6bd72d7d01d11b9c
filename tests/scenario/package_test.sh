#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The Debian packages of a build: right content, lintian content, and programs, headers and library that work from where
# they are unpacked (debian/tests). tests/bare/bare.sh installs them in clean systems.
# usage: package_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu

build=${1:-${UNETMAP_BUILD:-}}
[ -n "$build" ] || { echo "usage: package_test.sh BUILD_DIR" >&2; exit 2; }
build=$(cd "$build" && pwd)
source=${SOURCE_DIR:-$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)}

skip() { echo "SKIP: $*"; exit 77; }
fail() { echo "FAIL: $*" >&2; exit 1; }
step() { echo "== $*"; }

for program in dpkg-buildpackage dh dh_dkms dh_python3 lintian cc c++ make pkg-config readelf python3 timeout; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
for program in unetmapd unetmap-worker unetmap-keeper unetmap pkt-gen vale-ctl netmap-bridge tlem; do
  [ -x "$build/bin/$program" ] || skip "$program is not built in $build"
done
if readelf -d "$build/lib/libunetmap.so" | grep -q 'NEEDED.*lib[at]san'; then
  skip "a sanitizer build is not for packaging"
fi

work=$(mktemp -d)
activator=
cleanup() {
  [ -z "$activator" ] || kill "$activator" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

step "one version, and one list of what the build needs"
version=$(sed -n '1s/^unetmap (\(.*\)) .*/\1/p' "$source/debian/changelog")
for place in 's/^project(unetmap VERSION \([0-9.]*\) .*/\1/p CMakeLists.txt' 's/^version = "\(.*\)"/\1/p python/pyproject.toml' \
  's/^PACKAGE_VERSION="\(.*\)"/\1/p guest/e1000-paravirt/dkms.conf'; do
  file=${place##* }
  [ "$(sed -n "${place% *}" "$source/$file")" = "$version" ] || fail "$file has another version than debian/changelog's $version"
done
# Every Debian build has g++; ccache makes it faster, where it is.
table() { awk -F' *[|] *' -v groups=" $* " 'index(groups, " " $2 " ") && $2 { print $3 }' "$source/docs/dependencies.md" | sort -u; }
table build deb | grep -vxE 'g\+\+|ccache|dpkg-dev' >"$work/table"
sed -n '/^Build-Depends:/,/^[^ ].*:/p' "$source/debian/control" | sed '$d' | tr ',' '\n' |
  sed -n 's/^\(Build-Depends:\)\{0,1\} *\([a-z0-9.+-][a-z0-9.+-]*\).*/\2/p' | sed 's/debhelper-compat/debhelper/' | sort -u >"$work/control"
diff "$work/table" "$work/control" || fail "debian/control (>) and docs/dependencies.md (<) want other packages"

step "make the packages"
mkdir "$work/out"
DEB_BUILD_OPTIONS=parallel=2 sh "$source/packaging/deb.sh" "$build" "$work/out" >"$work/deb.log" 2>&1 ||
  { tail -n 60 "$work/deb.log"; fail "packaging/deb.sh"; }

step "their control data"
deb_of() { echo "$work/out/$1"_*.deb; }
field() { dpkg-deb -f "$(deb_of "$1")" "$2"; }
packages="unetmap libunetmap0 libunetmap-dev python3-unetmap unetmap-guest unetmap-e1000-paravirt-dkms"
for package in $packages; do
  [ -f "$(deb_of "$package")" ] || fail "no package $package"
  [ "$(field "$package" Version)" = "$version" ] || fail "$package has version $(field "$package" Version)"
done
depends_on() { field "$1" Depends | grep -qE "(^|[ ,])$2([ ,]|\$)" || fail "$1 does not depend on $2: $(field "$1" Depends)"; }
for dependency in libunetmap0 libc6 libxdp1 libpcap0.8 libseccomp2; do depends_on unetmap "$dependency"; done
depends_on libunetmap0 libc6
depends_on libunetmap-dev libunetmap0
depends_on python3-unetmap libunetmap0
depends_on python3-unetmap 'python3(:any)?'
depends_on unetmap-guest 'python3(:any)?'
depends_on unetmap-e1000-paravirt-dkms 'dkms'
case "$(field libunetmap0 Depends)" in *libstdc++* | *libfmt*) fail "the library takes more than the C library: $(field libunetmap0 Depends)" ;; esac

step "their content"
root=$work/root
for package in $packages; do
  deb=$(deb_of "$package")
  dpkg-deb -c "$deb" | sed "s/^/$package /" >>"$work/content"
  dpkg-deb -x "$deb" "$root"
  dpkg-deb -e "$deb" "$work/control.$package"
done
if awk '$3 != "root/root" { bad = 1; print } END { exit !bad }' "$work/content"; then fail "files not owned by root"; fi
if awk '{ print $7 }' "$work/content" | grep -vE '^\./((usr|lib)/.*)?$'; then fail "files outside /usr and /lib"; fi
if awk '$2 !~ /^d/ { print $7 }' "$work/content" | sort | uniq -d | grep .; then fail "files of two packages"; fi
lib=$(dirname "$(find "$root/usr/lib" -name libunetmap.so)")
[ "$lib" = "$root/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)" ] || fail "the library is in $lib"
# has PACKAGE FILE...
has() {
  package=$1
  shift
  for file; do
    awk -v package="$package" -v file="./$file" '$1 == package && ($7 == file || $7 == "./usr" substr(file, 2)) { found = 1 } END { exit !found }' \
      "$work/content" || fail "$package lacks $file"
  done
}
has unetmap usr/bin/unetmapd usr/libexec/unetmap/unetmap-worker usr/libexec/unetmap/unetmap-keeper \
  usr/libexec/unetmap/unetmap-vhost-user-net usr/libexec/unetmap/bin/lb usr/libexec/unetmap/bin/bridge usr/bin/netmap-lb usr/bin/netmap-bridge \
  lib/systemd/system/unetmapd.service lib/systemd/system/unetmapd.socket usr/lib/systemd/user/unetmapd.service \
  usr/lib/systemd/user/unetmapd.socket usr/share/man/man7/unetmap.7.gz usr/share/man/man4/unetmap-vale.4.gz \
  usr/share/man/man8/valectl.8.gz usr/share/qemu/vhost-user/50-unetmap-net.json usr/share/zsh/vendor-completions/_unetmap \
  usr/share/bash-completion/completions/pkt-gen usr/share/doc/unetmap/copyright usr/share/doc/unetmap/examples/send.c
has libunetmap0 "${lib#"$root/"}/libunetmap.so.0" usr/share/doc/libunetmap0/copyright
has libunetmap-dev usr/include/net/netmap.h usr/include/net/netmap_user.h usr/include/libnetmap.h usr/include/unetmap/port.hh \
  "${lib#"$root/"}/libunetmap.so" "${lib#"$root/"}/libnetmap.so" "${lib#"$root/"}/pkgconfig/unetmap.pc" "${lib#"$root/"}/pkgconfig/libnetmap.pc"
has python3-unetmap usr/lib/python3/dist-packages/unetmap/__init__.py usr/lib/python3/dist-packages/unetmap/py.typed
has unetmap-guest usr/bin/launch-qemu.sh usr/share/unetmap/vm/make-guest.py usr/share/doc/unetmap/examples/libvirt-e1000.xml
has unetmap-e1000-paravirt-dkms "usr/src/e1000-paravirt-$version/dkms.conf" "usr/src/e1000-paravirt-$version/epv_main.c" \
  "usr/src/e1000-paravirt-$version/Kbuild"
grep -qx 'activate-noawait ldconfig' "$work/control.libunetmap0/triggers" || fail "the library's package does not run ldconfig"
readelf -d "$lib/libunetmap.so.0" | grep -q 'SONAME.*\[libunetmap.so.0\]' || fail "the library's SONAME is not libunetmap.so.0"
if find "$root" -type l ! -exec test -e {} \; -print | grep .; then fail "dangling links"; fi
for program in "$root"/usr/bin/* "$root"/usr/libexec/unetmap/*; do
  [ -f "$program" ] || continue
  name=${program##*/}
  [ -f "$root/usr/share/man/man8/$name.8.gz" ] || [ "$name" = unetmap-vhost-user-net ] || fail "$name has no manual page"
  if readelf -d "$program" 2>/dev/null | grep -E 'R(UN)?PATH'; then fail "$name looks for libraries in a folder of its own"; fi
done
grep -q '"binary": "/usr/libexec/unetmap/unetmap-vhost-user-net"' "$root/usr/share/qemu/vhost-user/50-unetmap-net.json" ||
  fail "QEMU's conventions: $(cat "$root/usr/share/qemu/vhost-user/50-unetmap-net.json")"
# iproute2 has a program and a page named bridge, live-build one named lb: two packages must not have one path, nor one
# program hide another's.
for taken in usr/bin/bridge usr/sbin/bridge sbin/bridge usr/share/man/man8/bridge.8.gz usr/bin/lb usr/share/man/man1/lb.1.gz; do
  [ ! -e "$root/$taken" ] || fail "$taken belongs to iproute2 or live-build"
done
if command -v systemd-analyze >/dev/null; then
  # Pages and programs are looked up on this machine, where the package is not installed.
  units=$(dirname "$(find "$root" -path '*/systemd/system/unetmapd.service')")
  systemd-analyze verify "$units/unetmapd.service" "$units/unetmapd.socket" \
    2>&1 | grep 'unetmapd\.' | grep -vE "not executable|man [a-z]" && fail "systemd objects to the units"
fi
for extcap in "$lib/wireshark" "$root/usr/libexec/wireshark"; do # from 4.6 on Wireshark looks in libexec
  LD_LIBRARY_PATH=$lib "$extcap/extcap/unetmap-extcap" --extcap-interfaces 2>/dev/null | grep -q '^extcap {version=' ||
    fail "Wireshark's helper in $extcap does not answer"
done

step "lintian"
lintian --fail-on error --tag-display-limit 0 "$work"/out/*.changes >"$work/lintian.log" 2>&1 || { cat "$work/lintian.log"; fail "lintian"; }
# The scripts' names are netmap's, and the guest's first program is run by its busybox.
if grep '^W:' "$work/lintian.log" | grep -vE ' (script-with-language-extension|unusual-interpreter) '; then fail "lintian warns"; fi

step "their programs, on a daemon of their own"
export LD_LIBRARY_PATH="$lib" PKG_CONFIG_PATH="$lib/pkgconfig"
PATH=$root/usr/bin:$PATH
unset UNETMAPD || true
for test in packets python; do
  PYTHONPATH=$root/usr/lib/python3/dist-packages sh "$source/debian/tests/$test" || fail "debian/tests/$test"
done

step "a daemon started through its socket"
if command -v systemd-socket-activate >/dev/null; then
  systemd-socket-activate -E LD_LIBRARY_PATH --seqpacket -l "$work/activated" "$root/usr/bin/unetmapd" --foreground >"$work/activated.log" 2>&1 &
  activator=$!
  tries=0
  until [ -S "$work/activated" ]; do
    tries=$((tries + 1))
    [ $tries -lt 300 ] || fail "systemd-socket-activate does not listen"
    sleep 0.1
  done
  UNETMAP_SOCKET=$work/activated UNETMAPD=/nonexistent timeout 60 vale-ctl -g vale0:x >/dev/null ||
    { cat "$work/activated.log"; fail "no answer through an activated socket"; }
  kill $activator
  wait $activator || { cat "$work/activated.log"; fail "the activated daemon ended with $?"; }
  activator=
else
  echo "systemd-socket-activate is not installed, left out"
fi

step "their page links lead somewhere"
if command -v man >/dev/null; then
  MANPATH=$root/usr/share/man man valectl 2>/dev/null | grep -q vale-ctl || fail "man valectl shows no page"
fi
echo OK
