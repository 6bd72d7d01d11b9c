#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The part of bare.sh that runs inside the bare system. usage: inside.sh run|test|packages|installed
set -euo pipefail
cd /root/unetmap
export DEBIAN_FRONTEND=noninteractive
# Where bare.sh has a cache mounted, by its name, as debhelper gives builds another home: what was compiled in another folder is found.
export CCACHE_DIR=/root/.cache/ccache CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1

fail() {
  echo "FAIL: $*" >&2
  exit 1
}
apt() { apt-get -q -y --no-install-recommends "$@" >>/root/apt.log 2>&1 || { tail -n 20 /root/apt.log >&2; fail "apt-get $*"; }; }

# Every file of the system, but what apt, dpkg and others rewrite as they run.
listing() {
  find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /run -o -path /root -o -path /var/cache -o -path /var/log \
    -o -path /var/lib/apt -o -path /var/lib/dpkg/info \) -prune -o -print | grep -vE '^/(etc/ld.so.cache|var/lib/dpkg/.*-old|.*/__pycache__)$' | sort
}

packages() {
  mkdir -p /root/packages/build
  cp -a /root/unetmap /root/packages/build/unetmap
  cd /root/packages/build/unetmap
  apt update
  apt install dpkg-dev ccache lintian
  apt build-dep ./
  PATH=/usr/lib/ccache:$PATH dpkg-buildpackage -b -us -uc -j2 >/root/packages/build.log 2>&1 || {
    tail -n 40 /root/packages/build.log >&2
    fail "dpkg-buildpackage"
  }
  if grep -E 'warning:' /root/packages/build.log | grep -v '^dpkg-shlibdeps'; then fail "warnings"; fi
  cd ..
  lintian --allow-root --fail-on error --tag-display-limit 0 ./*.changes || fail "lintian"
  mv ./*.deb /root/packages/
  rm -rf /root/packages/build
}

installed() {
  apt update
  apt install systemd man-db g++ libc6-dev make pkg-config  # not in a bare system; what the tests of the packages want
  listing >/root/before
  rm /root/packages/*dkms*.deb  # kernel headers are none of a bare system's
  apt install /root/packages/*.deb
  for test in packets python; do
    (cd /tmp && bash "/root/unetmap/debian/tests/$test") || fail "debian/tests/$test"
  done
  for page in unetmap.7 pkt-gen.8 launch-qemu.sh.8; do man -w "${page##*.}" "${page%.*}" >/dev/null || fail "no page $page"; done
  # As an administrator would, whose links must not stay either.
  systemctl enable unetmapd.socket 2>/dev/null || fail "the socket cannot be enabled"
  systemctl --global enable unetmapd.socket 2>/dev/null || fail "the users' socket cannot be enabled"
  /usr/share/unetmap/vm/make-guest.py --help >/dev/null || fail "make-guest.py --help"
  mapfile -t names < <(for deb in /root/packages/*.deb; do dpkg-deb -f "$deb" Package; done)
  apt purge "${names[@]}"
  apt autoremove --purge
  listing >/root/after
  diff /root/before /root/after | sed -n 's/^> /left after purge: /p' | tee /root/left
  [ ! -s /root/left ] || fail "a purge leaves files"
}

case $1 in
  run) ./dev run ;;
  test) ./dev test ;;
  packages) packages ;;
  installed) installed ;;
esac
