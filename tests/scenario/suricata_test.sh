#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Suricata, of Debian's sources with its netmap support and our headers, as an IPS between two switches, run by a user without privileges:
# what a rule drops does not pass, what another only tells of does, and everything else, byte for byte, either way. Then the same in a
# container of the OCI image. Where there is no Suricata, a small program that makes the same requests takes its place, and the result is SKIP.
# usage: suricata_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmapd unetmap pkt-gen

# What takes root, if it is there at all: compiling, and the image. Its user comes after.
if [ -z "${GIVEN:-}" ]; then
  . "$helpers/sources.sh"
  . "$helpers/suricata.sh"
  command -v python3 >/dev/null || skip "python3 is not installed"
  missing=
  if build_suricata; then
    cp -r "$suricata" "$work/suricata"
    LD_LIBRARY_PATH=$build/lib "$work/suricata/suricata" -V
    LD_LIBRARY_PATH=$build/lib "$work/suricata/suricata" --build-info >"$work/info.out"
    must_have "$work/info.out" 'Netmap support: +yes v14'
  else
    missing=$why
    echo "Suricata itself: $missing"
    install_if_root cc gcc || skip "$why"
    mkdir "$work/suricata"
    cc -O2 -Wall -Wextra -D_GNU_SOURCE -I"$source/include" "$helpers/ips.c" -o "$work/suricata/suricata" -L"$build/lib" -lnetmap -lpthread ||
      fail "the program in its place does not build"
  fi
  # Less than the image of our packages: oci_test.sh is about that.
  for program in unetmap pkt-gen unetmapd; do
    mkdir -p "$work/tree/usr/bin" "$work/tree/usr/lib" && cp "$bin/$program" "$work/tree/usr/bin/"
  done
  cp "$work/suricata/suricata" "$work/tree/usr/bin/"
  cp -L "$build/lib/libunetmap.so.0" "$work/tree/usr/lib/"
  event_limit_s=500 # much to read and to pack, on a busy machine
  run image python3 -B "$source/packaging/oci.py" "$work/tree" "$work/image" || fail "no image: $(cat "$work/image.log")"
  cat "$work/image.out"
  image=none
  if command -v umoci >/dev/null && run unpack umoci unpack --rootless --image "$work/image:latest" "$work/bundle"; then
    image=$work/bundle/rootfs
    chmod -R a+rX "$work/bundle"
  fi
  as_nobody=
  if [ "$(id -u)" = 0 ]; then
    command -v setpriv >/dev/null || skip "setpriv is not installed"
    as_nobody="setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --bounding-set=-all"
    $as_nobody test -x "$bin/unetmap" || skip "others than root cannot read $bin"
  fi
  status=0
  # shellcheck disable=SC2086
  env -u UNETMAP_SOCKET GIVEN="$work/suricata" MISSING="$missing" IMAGE="$image" HOME=/nonexistent $as_nobody sh "$0" "$build" || status=$?
  exit $status
fi
PATH=$bin:$PATH
suricata=$GIVEN

cat >"$work/rules" <<'END'
alert udp any any -> any 7001 (msg:"told of"; sid:1; rev:1;)
drop udp any any -> any 7002 (msg:"not passed by its port"; sid:2; rev:1;)
drop udp any any -> any any (msg:"not passed by its contents"; content:"no way through"; sid:3; rev:1;)
END
# conf OURS: its configuration; OURS is the folder with its tables, and $work what it may write to, as it sees them.
conf() {
  cat <<END
%YAML 1.1
---
classification-file: $1/classification.config
reference-config-file: $1/reference.config
runmode: workers
exception-policy: ignore
stream: {checksum-validation: no}
unix-command: {enabled: no}
outputs:
  - fast: {enabled: yes, filename: fast.log}
  - stats: {enabled: no}
netmap:
  - {interface: "vale0:ips", copy-iface: "vale1:ips", copy-mode: ips, threads: 1, checksum-checks: no}
  - {interface: "vale1:ips", copy-iface: "vale0:ips", copy-mode: ips, threads: 1, checksum-checks: no}
END
}
# ips FOLDER LOG: its arguments, with the folders of its files and its log as it sees them.
if [ -z "$MISSING" ]; then
  ips() { echo "-c $1/ips.yaml -S $1/rules --netmap -l $2"; }
else
  ips() { echo "vale0:ips vale1:ips $2/fast.log"; }
fi
cat >"$work/frames.py" <<'END'
import struct, sys
# make FILE: 400 datagrams, each a flow of its own; those of port 7009 come last. passed IN CAPTURE: exactly those that shall pass came.
def frame(number):
    kind = number % 4 if number < 396 else 4
    port, text = ((7000, b"plain"), (7001, b"told"), (7002, b"dropped"), (7003, b"there is no way through"), (7009, b"end"))[kind]
    data = text + bytes([number % 251]) * (20 + number % 900)
    udp = struct.pack("!HHHH", 10000 + number, port, 8 + len(data), 0) + data
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), number, 0, 64, 17, 0, bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)))
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xffff) + (total >> 16)
    head = head[:10] + struct.pack("!H", ~((total & 0xffff) + (total >> 16)) & 0xffff) + head[12:]
    return bytes.fromhex("020000000002020000000001 0800") + head + udp, kind not in (2, 3)
frames = [frame(number) for number in range(400)]
if sys.argv[1] == "make":
    with open(sys.argv[2], "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for bytes_, _ in frames:
            file.write(struct.pack("<IIII", 0, 0, len(bytes_), len(bytes_)) + bytes_)
else:
    data, at, got = open(sys.argv[2], "rb").read(), 0, []
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        if kind == 6:
            length = struct.unpack_from("<I", data, at + 20)[0]
            got.append(data[at + 28:at + 28 + length])
        at += size
    wanted = [bytes_ for bytes_, passes in frames if passes]
    if got != wanted:
        sys.exit(f"{len(got)} frames, {len(wanted)} wanted; those of both: {len(set(got) & set(wanted))}")
END
python3 "$work/frames.py" make "$work/frames.pcap"
passing=202 # see there

# through FROM TO NAME: the frames, sent by a port of switch FROM; NAME of the step.
through() {
  start "$3-rx" pkt-gen -i "vale$2:host" -f rx -w 0
  receiver=$started
  await_port "vale$2:host"
  unetmap set "vale$2:host" lossless on || fail "no lossless port"
  start "$3-cap" unetmap capture "vale$2:host" -w "$work/$3.pcapng" -c $passing
  capture=$started
  timeout "$event_limit_s" sh -c "until unetmap ports --json | grep -qF '\"vale$2:host/r'; do sleep 0.05; done" || fail "no capture"
  run "$3-tx" pkt-gen -i "vale$1:host" -f tx -w 0 -P "$work/frames.pcap" --once || fail "$3: the sender: $(cat "$work/$3-tx.log")"
  ended "$capture" || fail "$3: the capture"
  kill -INT "$receiver"
  ended "$receiver" || fail "$3: the receiver"
  python3 "$work/frames.py" passed "$work/$3.pcapng" || fail "$3: not what shall pass"
}

# flows PATTERN: how many flows the lines of fast.log with it are about.
flows() { grep -e "$1" "$work/log/fast.log" | grep -oE '[0-9.]+:[0-9]+ -> [0-9.]+:[0-9]+' | sort -u | wc -l; }

# exercise NAME COMMAND...: an IPS, that COMMAND starts, with its messages in $work/log.
exercise() {
  name=$1
  shift
  rm -rf "$work/log"
  mkdir "$work/log"
  start "$name" "$@"
  ips=$started
  timeout "$event_limit_s" sh -c 'until grep -qs "Engine started" "$1.out" "$1.log"; do kill -0 "$2" 2>/dev/null || exit 1; sleep 0.05; done' sh "$work/$name" "$ips" ||
    fail "$name: it does not start"
  for port in vale0:ips vale1:ips; do
    await_port $port
    unetmap set $port lossless on || fail "$port: not lossless"
  done
  through 0 1 "$name-forth"
  through 1 0 "$name-back"
  # What starts a container does not pass signals on.
  inside=$ips
  while child=$(pgrep -P "$inside"); do inside=$child; done
  kill -INT "$inside"
  ended "$ips" || fail "$name: it gave $?"
  # Packets that come back as they went are of the same flow, of which Suricata tells once where a rule names ports alone.
  for sid in 1 2 3; do
    told=$(flows "\\[1:$sid:1\\]")
    [ "$told" = 99 ] || fail "$name: rule $sid told of $told flows, not of 99"
  done
  told=$(flows '\[Drop\]')
  [ "$told" = 198 ] || fail "$name: packets of $told flows are said to be dropped, not of 198"
}

step "an IPS between two switches, user $(id -u)"
conf "$suricata" >"$work/ips.yaml"
# shellcheck disable=SC2046
exercise ips env LD_LIBRARY_PATH="$build/lib" "$suricata/suricata" $(ips "$work" "$work/log")

step "without it, nothing passes"
start none-rx pkt-gen -i vale1:host -f rx -w 0
receiver=$started
await_port vale1:host
run none-tx pkt-gen -i vale0:host -f tx -w 0 -P "$work/frames.pcap" --once || fail "the sender"
kill -INT "$receiver"
ended "$receiver" || true
if grep -hE 'Received [1-9]' "$work/none-rx.out" "$work/none-rx.log"; then fail "packets pass by another way"; fi

step "in a container of the image"
[ "$IMAGE" != none ] || skip "all passed outside of a container; umoci, which unpacks the image, is not installed"
command -v bwrap >/dev/null && bwrap --unshare-user --unshare-pid --ro-bind / / true 2>/dev/null ||
  skip "all passed outside of a container; bubblewrap is not installed, or may not make namespaces"
conf /tmp/etc >"$work/ips.yaml"
mkdir -p "$work/etc"
cp "$work/ips.yaml" "$work/rules" "$work/etc"
[ -n "$MISSING" ] || cp "$suricata"/*.config "$work/etc"
mkdir -p "$work/log"
socket_folder=$(dirname "$UNETMAP_SOCKET")
# shellcheck disable=SC2046
exercise container bwrap --unshare-all --die-with-parent --ro-bind "$IMAGE" / --tmpfs /tmp --proc /proc --dev /dev \
  --bind "$socket_folder" /run/unetmap --ro-bind "$work/etc" /tmp/etc --bind "$work/log" /tmp/log \
  --setenv UNETMAP_SOCKET "/run/unetmap/$(basename "$UNETMAP_SOCKET")" --setenv PATH /usr/bin:/bin -- \
  suricata $(ips /tmp/etc /tmp/log)
[ -z "$MISSING" ] || skip "all passed with a program that makes Suricata's requests; Suricata itself: $MISSING"
echo OK
