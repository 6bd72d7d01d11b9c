#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What a newcomer sees: the commands of the README, and the packages, in Debian systems that hold nothing but the minimum, git,
# bash and certificates. On demand, as root, with a network; takes minutes (run), or more than an hour (test).
# usage: tests/bare/bare.sh [--release NAME]... [--ccache FOLDER] [run | test | packages]...
#   run       ./dev run (the default)
#   test      ./dev test
#   packages  dpkg-buildpackage and lintian; then, in another bare system: installation, debian/tests, and what a purge leaves
# Releases: bookworm and trixie, unless named. The commit that is checked out is tried. Without --ccache everything is compiled.
# Exit: 0 all went well, 1 something did not, 2 usage, 77 cannot be tried here.
# shellcheck disable=SC2016  # what is quoted so is for apt, or for the shell inside
set -euo pipefail

say() { printf '%s\n' "bare: $*" >&2; }
usage() {
  sed -n 's/^# usage: /usage: /p' "$0" >&2
  exit 2
}

releases=() jobs=() ccache=
while [ $# -gt 0 ]; do
  case $1 in
    --release)
      [ $# -gt 1 ] || usage
      releases+=("$2")
      shift
      ;;
    --ccache)
      [ $# -gt 1 ] || usage
      ccache=$(realpath -- "$2")
      shift
      ;;
    run | test | packages) jobs+=("$1") ;;
    *) usage ;;
  esac
  shift
done
[ ${#releases[@]} -gt 0 ] || releases=(bookworm trixie)
[ ${#jobs[@]} -gt 0 ] || jobs=(run)

cannot() {
  say "cannot be tried: $*"
  exit 77
}
[ "$(id -u)" -eq 0 ] || cannot "making a root folder takes root"
for program in mmdebstrap git unshare chroot; do
  command -v "$program" >/dev/null || cannot "$program is not installed"
done
source=$(cd "$(dirname -- "$0")/../.." && pwd)
git -C "$source" rev-parse HEAD >/dev/null 2>&1 || cannot "$source is no git clone"
git -C "$source" diff --quiet HEAD || say "changes that are not committed are left out"
# The mirror that this machine has its own packages from; security and updates are other archives.
mirror=$(apt-get indextargets --format '$(CODENAME) $(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' |
  awk '$1 !~ /-/ { print $2; exit }')
[ -n "$mirror" ] || cannot "apt knows no Debian archive here"

work=$(mktemp -d /var/tmp/unetmap-bare.XXXXXX)
child=
end() {
  [ -z "$child" ] || { kill -KILL "$child" && wait "$child"; } 2>/dev/null || true
  rm -rf --one-file-system "$work"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# bare_system RELEASE FOLDER
bare_system() {
  say "$1: a bare system"
  mmdebstrap --quiet --variant=minbase --include=git,bash,ca-certificates "$1" "$2" "$mirror" >"$work/mmdebstrap.log" 2>&1 || {
    tail -n 20 "$work/mmdebstrap.log" >&2
    say "$1: no bare system"
    return 1
  }
  git clone -q "$source" "$2/root/unetmap"
}

# inside FOLDER JOB: tests/bare/inside.sh there. Mounts and processes are gone with it.
inside() {
  local mounts='mount -t proc proc "$1/proc" && mount --rbind /sys "$1/sys" && mount --rbind /dev "$1/dev" && mount -t tmpfs tmpfs "$1/tmp"'
  if [ -n "$ccache" ]; then
    mkdir -p "$1/root/.cache/ccache"
    mounts+=" && mount --bind '$ccache' \"\$1/root/.cache/ccache\""
  fi
  unshare --mount --pid --fork --kill-child bash -c "$mounts"' && cd / &&
    exec chroot "$1" env -i HOME=/root TERM="${TERM:-dumb}" PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 bash /root/unetmap/tests/bare/inside.sh "$2"' \
    bash "$1" "$2" </dev/null &  # so that a signal to this shell is heard at once
  child=$!
  local status=0
  wait "$child" || status=$?
  child=
  return "$status"
}

failed=()
for release in "${releases[@]}"; do
  for job in "${jobs[@]}"; do
    root=$work/$release-$job
    begin=$SECONDS
    status=0
    {
      bare_system "$release" "$root" &&
        say "$release: $job" &&
        inside "$root" "$job" &&
        if [ "$job" = packages ]; then
          bare_system "$release" "$root-installed" &&
            mv "$root/root/packages" "$root-installed/root/packages" &&
            say "$release: installation of the packages" &&
            inside "$root-installed" installed
        fi
    } || status=$?
    if [ "$status" -eq 0 ]; then
      say "$release: $job went well, in $((SECONDS - begin)) s"
    else
      say "$release: $job FAILED, after $((SECONDS - begin)) s"
      failed+=("$release:$job")
    fi
    rm -rf --one-file-system "$root" "$root-installed"
  done
done
[ ${#failed[@]} -eq 0 ] || {
  say "failed: ${failed[*]}"
  exit 1
}
