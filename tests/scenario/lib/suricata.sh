# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh disable=SC2034
# Sourced after sources.sh: Suricata, of Debian's sources with its netmap support and our headers.
#
# It takes many minutes of the processor to compile, so it is kept outside of build trees, in ~/.cache/unetmap/peers, for all of them, and
# compiled where that is asked for:  UNETMAP_BUILD_PEERS=1 tests/scenario/suricata_test.sh build

peers=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/unetmap/peers

# build_suricata: $suricata gets a folder with the program and its tables of classes and references.
build_suricata() {
  suricata=$peers/suricata-$(headers_stamp | tr ' ' -)
  [ -x "$suricata/suricata" ] && return 0
  if [ "${UNETMAP_BUILD_PEERS:-}" != 1 ]; then
    # Of older headers: what was built with them runs with the library of now.
    for suricata in "$peers"/suricata-*; do [ -x "$suricata/suricata" ] && return 0; done
    why="Suricata is not in $peers; UNETMAP_BUILD_PEERS=1 tests/scenario/suricata_test.sh $build compiles it, which takes many minutes"
    return 1
  fi
  mkdir -p "$peers"
  # One at a time on this machine, whatever trees there are.
  exec 8>"$peers/suricata.lock"
  flock 8
  suricata_status=0
  [ -x "$suricata/suricata" ] || alone build_suricata_alone || suricata_status=$?
  exec 8>&-
  return $suricata_status
}

build_suricata_alone() {
  home=$external/suricata
  fetch_source suricata || return 1
  # A compiler of Rust may also be there without its package.
  for package in $(awk -F' *[|] *' '$2 == "peers" { print $3 }' "$source/docs/dependencies.md"); do
    command -v "$package" >/dev/null || dpkg -s "$package" >/dev/null 2>&1 || install_if_root "$package" "$package" ||
      dpkg -s "$package" >/dev/null 2>&1 || { why="$package is not installed; apt-get install $package"; return 1; }
  done
  least=$(sed -n 's/.*\[htp >= \([0-9.]*\)\].*/\1/p' "$home/source/configure.ac")
  with_htp=--enable-non-bundled-htp
  if ! pkg-config --atleast-version="$least" htp; then
    fetch_htp "$least" || return 1
    with_htp="$with_htp --with-libhtp-includes=$home/htp/usr/include --with-libhtp-libraries=$home/htp/lib"
  fi
  echo "Suricata is compiled once; that takes many minutes" >&2
  # A library of the same names in place of ours: the program is for all build trees.
  mkdir -p "$home/lib"
  sed -n 's/^.*[ *]\(nm[a-z]*_[a-z_]*\)(.*/void \1(void) {}/p' "$source/include/libnetmap.h" | sort -u >"$home/lib/names.c"
  soname=$(objdump -p "$library" | sed -n 's/^ *SONAME *//p')
  cc -shared -fPIC -Wl,-soname,"$soname" -o "$home/lib/libnetmap.so" "$home/lib/names.c" 2>"$home/lib/names.log" ||
    fail "a library with the functions of libnetmap.h: $(cat "$home/lib/names.log")"
  (
    export CARGO_HOME="$home/cargo" CARGO_NET_OFFLINE=true PKG_CONFIG_PATH="$home/htp/lib/pkgconfig"
    cd "$home/source" &&
      # shellcheck disable=SC2086
      CFLAGS=-O2 ./configure --enable-netmap --with-netmap-includes="$source/include" --with-netmap-libraries="$home/lib" \
        $with_htp --disable-gccmarch-native --disable-suricata-update --disable-python --disable-geoip --prefix=/usr \
        --sysconfdir=/etc --localstatedir=/var && make -j2
  ) >"$home/build.log" 2>&1 || fail "Suricata does not build with our headers: $(grep -m 3 -iE 'error' "$home/build.log"); see $home/build.log"
  if grep -nE 'include/(net/|libnetmap).*warning:' "$home/build.log"; then fail "our headers give Suricata warnings"; fi
  rm -rf "$suricata.new"
  mkdir "$suricata.new"
  program=$home/source/src/.libs/suricata
  [ -x "$program" ] || program=$home/source/src/suricata
  # `plain` runs it without us: what it is compared with is not to be slowed down by our calls.
  mkdir "$suricata.new/plain" && cp "$home/lib/libnetmap.so" "$suricata.new/plain/$soname" &&
    cp "$program" "$home/source/etc/classification.config" "$home/source/etc/reference.config" "$suricata.new" &&
    strip "$suricata.new/suricata" && mv "$suricata.new" "$suricata"
}

# fetch_htp LEAST: $home/htp gets a libhtp that is new enough, as Debian built it for this release or the next; linked statically.
fetch_htp() {
  releases >"$external/releases"
  main=$(awk '$2 !~ /-/ { print $1; exit }' "$external/releases")
  code=$(awk '$2 !~ /-/ { print $2; exit }' "$external/releases")
  keys=/usr/share/keyrings/debian-archive-keyring.gpg
  for release in "$code-backports" stable; do
    mkdir -p "$external/apt/$release-binary/lists/partial" "$external/apt/$release-binary/cache/archives/partial"
    echo "deb [signed-by=$keys] $main $release main" >"$external/apt/$release-binary/sources.list"
    rm -rf "$home/htp"
    mkdir -p "$home/htp/lib/pkgconfig"
    (
      cd "$home/htp" && apt_of "$release-binary" apt-get update && apt_of "$release-binary" apt-get download libhtp-dev &&
        dpkg-deb -x libhtp-dev_*.deb . && cp usr/lib/*/libhtp.a lib &&
        sed "s|^prefix=.*|prefix=$home/htp/usr|" usr/lib/*/pkgconfig/htp.pc >lib/pkgconfig/htp.pc
    ) >"$home/htp-$release.log" 2>&1 </dev/null || continue
    PKG_CONFIG_PATH="$home/htp/lib/pkgconfig" pkg-config --atleast-version="$1" htp && return 0
  done
  why="libhtp $1 or later is to be had neither here nor from the mirror of this machine"
  return 1
}
