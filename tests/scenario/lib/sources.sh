# SPDX-License-Identifier: BSD-2-Clause
# Sourced after common.sh: source packages of Debian, fetched and built once per build tree, under $external.
#
# Package lists and addresses are apt's own, taken from how this machine is set up; nothing of its configuration is
# changed. Sets $why to the reason when something cannot be had.

external=$build/external
why=
mkdir -p "$external"

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
  apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Identifier: Packages' 'Origin: Debian' | sort -u >"$external/own"
  cat "$external/own"
  main=$(awk '$2 !~ /-/ { print $1; exit }' "$external/own")
  [ -n "$main" ] || return 0
  for release in stable testing sid; do echo "$main $release"; done
}

# apt TOOL ARGUMENTS...: apt with only the sources of $external/apt/sources.list.
apt() {
  tool=$1
  shift
  "$tool" -q -o Dir::State::lists="$external/apt/lists" -o Dir::Cache="$external/apt/cache" \
    -o Dir::Etc::sourcelist="$external/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none "$@"
}

# fetch_source PACKAGE: unpacks it as $external/PACKAGE/source, from the first release whose mirror has all its files.
fetch_source() {
  package=$1
  home=$external/$package
  [ -f "$home/fetched" ] && return 0
  for program in apt-get dpkg-source; do
    command -v "$program" >/dev/null || { why="$program is not installed; apt-get install dpkg-dev"; return 1; }
  done
  keys=/usr/share/keyrings/debian-archive-keyring.gpg
  [ -f "$keys" ] || { why="$keys is missing; apt-get install debian-archive-keyring"; return 1; }
  mkdir -p "$external/apt/lists/partial" "$external/apt/cache/archives/partial" "$home"
  releases >"$external/releases"
  [ -s "$external/releases" ] || { why="apt has no Debian release configured"; return 1; }
  while read -r mirror release; do
    rm -rf "$home/source" "$home"/*.dsc
    echo "deb-src [signed-by=$keys] $mirror $release main" >"$external/apt/sources.list"
    {
      apt apt-get update &&
        (cd "$home" && apt apt-get source --only-source --download-only "$package") &&
        dpkg-source -x "$home"/*.dsc "$home/source"
    } >"$home/fetch-$release.log" 2>&1 </dev/null && touch "$home/fetched" && return 0
  done <"$external/releases"
  why="the sources of $package cannot be had from this machine's mirror: $(grep -h '^E:' "$home"/fetch-*.log | head -n 1)"
  return 1
}

# Our headers as they are now, as one number: what was built with others is built again.
headers_stamp() { cat "$source"/include/net/*.h | cksum; }

# build_libpcap: $pcap_lib gets the folder of a libpcap with netmap in it, of Debian's sources and our headers.
build_libpcap() {
  pcap_lib=$external/libpcap/source
  fetch_source libpcap || return 1
  [ "$(cat "$external/libpcap/built" 2>/dev/null)" = "$(headers_stamp)" ] && return 0
  install_if_root flex flex && install_if_root bison bison && install_if_root make make || return 1
  (
    cd "$pcap_lib" && rm -f config.cache && CFLAGS="-O2 -g -I$source/include" ./configure --without-dpdk --without-libnl \
      --disable-rdma --disable-dbus --disable-bluetooth --disable-usb && make clean && make -j2
  ) >"$external/libpcap/build.log" 2>&1 ||
    fail "libpcap does not build with our headers: $(grep -m 3 -iE 'error' "$external/libpcap/build.log")"
  grep -q 'whether we can compile the netmap support... yes' "$external/libpcap/build.log" ||
    fail "libpcap's configure does not accept net/netmap_user.h: see $external/libpcap/source/config.log"
  if grep -nE 'include/net/.*warning:' "$external/libpcap/build.log"; then fail "our headers give libpcap warnings"; fi
  headers_stamp >"$external/libpcap/built"
}

# real_capture FILE MOST: up to MOST real Ethernet packets, from the captures that tcpdump's sources test it with.
real_capture() {
  fetch_source tcpdump || return 1
  perl "$helpers/pcap.pl" gather "$1" "$2" "$external"/tcpdump/source/tests/*.pcap
}
