# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh disable=SC2034
# Sourced after common.sh: source packages of Debian, fetched and built once per build tree, under $external.
#
# Package lists and addresses are apt's own, taken from how this machine is set up; nothing of its configuration is
# changed. A folder UNETMAP_TEST_SOURCES with unpacked sources, PACKAGE/, goes before them. Sets $why to the reason when
# something cannot be had.

external=$build/external
why=
mkdir -p "$external" || skip "$external cannot be made; run this as who owns the build"

# alone COMMAND...: while no other test fetches or builds in this tree.
alone() {
  exec 9>"$external/lock"
  flock 9
  alone_status=0
  "$@" || alone_status=$?
  exec 9>&-
  return $alone_status
}

# install_if_root PROGRAM PACKAGE: the program, installed where we may.
install_if_root() {
  command -v "$1" >/dev/null && return 0
  why="$1 is not installed; apt-get install $2"
  [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || return 1
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$2" >"$external/install-$2.log" 2>&1 ||
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$2"; } \
      >"$external/install-$2.log" 2>&1 || return 1
  command -v "$1" >/dev/null
}

# Mirror and release, one pair a line, of what this machine installs from. Then the same mirror's other releases: a
# mirror may keep the sources of one and not of another.
releases() {
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Identifier: Packages' 'Origin: Debian' |
    sort -u >"$external/own"
  cat "$external/own"
  main=$(awk '$2 !~ /-/ { print $1; exit }' "$external/own")
  [ -n "$main" ] || return 0
  for release in stable testing sid; do echo "$main $release"; done
}

# apt_of RELEASE TOOL ARGUMENTS...: apt with only the sources of $external/apt/RELEASE/sources.list.
apt_of() {
  folder=$external/apt/$1
  tool=$2
  shift 2
  "$tool" -q -o Dir::State::lists="$folder/lists" -o Dir::Cache="$folder/cache" \
    -o Dir::Etc::sourcelist="$folder/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none -o Acquire::http::Timeout=20 -o Acquire::Retries=1 "$@"
}

# fetch_source PACKAGE: unpacks it as $external/PACKAGE/source, from the first release whose mirror has all its files.
fetch_source() {
  package=$1
  home=$external/$package
  [ -f "$home/fetched" ] && return 0
  if [ -d "${UNETMAP_TEST_SOURCES:-}/$package" ]; then
    rm -rf "$home"
    mkdir -p "$home" && cp -r "$UNETMAP_TEST_SOURCES/$package" "$home/source" && touch "$home/fetched"
    return 0
  fi
  for program in apt-get dpkg-source; do
    command -v "$program" >/dev/null || { why="$program is not installed; apt-get install dpkg-dev"; return 1; }
  done
  keys=/usr/share/keyrings/debian-archive-keyring.gpg
  [ -f "$keys" ] || { why="$keys is missing; apt-get install debian-archive-keyring"; return 1; }
  if [ -n "$(find "$home/unavailable" -mmin -720 2>/dev/null)" ]; then
    why="$(cat "$home/unavailable") (found less than 12 hours ago; remove $home/unavailable to try again)"
    return 1
  fi
  mkdir -p "$home"
  releases >"$external/releases"
  [ -s "$external/releases" ] || { why="apt has no Debian release configured"; return 1; }
  while read -r mirror release; do
    rm -rf "$home/source" "$home"/*.dsc
    mkdir -p "$external/apt/$release/lists/partial" "$external/apt/$release/cache/archives/partial"
    echo "deb-src [signed-by=$keys] $mirror $release main" >"$external/apt/$release/sources.list"
    {
      apt_of "$release" apt-get update &&
        (cd "$home" && apt_of "$release" apt-get source --only-source --download-only "$package") &&
        dpkg-source -x "$home"/*.dsc "$home/source"
    } >"$home/fetch-$release.log" 2>&1 </dev/null && touch "$home/fetched" && return 0
  done <"$external/releases"
  why="the mirror of this machine does not have the sources of $package: $(cat "$home"/fetch-*.log |
    grep -m 1 '^E: Failed to fetch' || cat "$home"/fetch-*.log | grep -m 1 '^E:')"
  echo "$why" >"$home/unavailable"
  return 1
}

# Our headers as they are now, as one number: what was built with others is built again.
headers_stamp() { cat "$source"/include/net/*.h | cksum; }

# build_libpcap: $pcap_lib gets the folder of a libpcap with netmap in it, of Debian's sources and our headers, and
# $with_pcap a program that runs another one with it, unmodified otherwise.
build_libpcap() { alone build_libpcap_alone; }
build_libpcap_alone() {
  pcap_lib=$external/libpcap/source
  fetch_source libpcap || return 1
  with_pcap=$work/with_pcap
  printf '#!/bin/sh\nexport LD_LIBRARY_PATH="%s"\nexec "%s" run -- "$@"\n' "$pcap_lib" "$bin/unetmap" >"$with_pcap"
  chmod +x "$with_pcap"
  [ "$(cat "$external/libpcap/built" 2>/dev/null)" = "$(headers_stamp)" ] && return 0
  install_if_root flex flex && install_if_root bison bison && install_if_root make make || return 1
  (
    cd "$pcap_lib" && CFLAGS="-O2 -g -I$source/include" ./configure --without-dpdk --without-libnl --disable-rdma \
      --disable-dbus --disable-bluetooth --disable-usb && make clean && make -j2
  ) >"$external/libpcap/build.log" 2>&1 ||
    fail "libpcap does not build with our headers: $(grep -m 3 -iE 'error' "$external/libpcap/build.log")"
  grep -q 'whether we can compile the netmap support... yes' "$external/libpcap/build.log" ||
    fail "libpcap's configure does not accept net/netmap_user.h: see $external/libpcap/source/config.log"
  if grep -nE 'include/net/.*warning:' "$external/libpcap/build.log"; then fail "our headers give libpcap warnings"; fi
  headers_stamp >"$external/libpcap/built"
}

# build_tcpreplay: $tcpreplay gets the program, of Debian's sources with our headers.
build_tcpreplay() { alone build_tcpreplay_alone; }
build_tcpreplay_alone() {
  home=$external/tcpreplay
  tcpreplay=$home/source/src/tcpreplay
  fetch_source tcpreplay || return 1
  [ "$(cat "$home/built" 2>/dev/null)" = "$(headers_stamp)" ] && return 0
  install_if_root make make && install_if_root autogen autogen || return 1
  # Its configure looks for a netmap source tree.
  mkdir -p "$home/netmap/sys"
  ln -sfn "$source/include/net" "$home/netmap/net"
  ln -sfn "$source/include/net" "$home/netmap/sys/net"
  with_netmap="--with-netmap=$home/netmap"
  (cd "$home/source" && ./configure "$with_netmap" && make -j2) >"$home/build.log" 2>&1 ||
    # Debian's changes may ask for new build files.
    { install_if_root autoreconf autoconf && install_if_root automake automake && install_if_root libtoolize libtool &&
      (cd "$home/source" && autoreconf -fi && ./configure "$with_netmap" && make -j2) >"$home/build.log" 2>&1; } ||
    fail "tcpreplay does not build with our headers: $(grep -m 3 -i 'error' "$home/build.log")"
  headers_stamp >"$home/built"
}

# real_capture FILE MOST: up to MOST real Ethernet packets, from the captures that tcpdump's sources test it with.
real_capture() {
  alone fetch_source tcpdump || return 1
  perl "$helpers/pcap.pl" gather "$1" "$2" "$external"/tcpdump/source/tests/*.pcap
}
