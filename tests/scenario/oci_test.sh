#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The OCI image: made twice it is the same, umoci unpacks it, and its programs run as containers without privileges, by bubblewrap
# and, where its cgroups allow it, by crun: two containers exchange packets over a switch of a daemon on the host.
# usage: oci_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmapd unetmap pkt-gen unetmap-worker unetmap-keeper
for program in cmake python3 ldd dpkg; do command -v $program >/dev/null || skip "$program is not installed"; done
run install env DESTDIR="$work/tree" cmake --install "$build" --prefix /usr || skip "the build is not whole: $(tail -n 1 "$work/install.log")"
shell=$(command -v busybox) && ! ldd "$shell" >/dev/null 2>&1 || shell=
most_bytes=60000000

step "an image"
event_limit_s=500 # much to read and to pack, on a busy machine
run image python3 -B "$source/packaging/oci.py" "$work/tree" "$work/image" ${shell:+--shell "$shell"} || fail "$(cat "$work/image.log")"
cat "$work/image.out"
run again python3 -B "$source/packaging/oci.py" "$work/tree" "$work/image2" ${shell:+--shell "$shell"}
diff -r "$work/image" "$work/image2" >/dev/null || fail "made again, it is another image"
bytes=$(du -sb "$work/image" | cut -f1)
[ "$bytes" -lt $most_bytes ] || fail "it has $bytes bytes, of at most $most_bytes"
wrong 1 'is there already' python3 -B "$source/packaging/oci.py" "$work/tree" "$work/image"
wrong 1 'has no usr/bin/unetmap' python3 -B "$source/packaging/oci.py" "$work/image" "$work/image3"

step "unpacked"
command -v umoci >/dev/null || skip "the image is right; umoci, which unpacks it, is not installed"
run unpack umoci unpack --rootless --image "$work/image:latest" "$work/bundle" || fail "umoci: $(cat "$work/unpack.log")"
root=$work/bundle/rootfs
for file in usr/bin/unetmap usr/bin/pkt-gen usr/bin/unetmapd etc/passwd; do [ -f "$root/$file" ] || fail "$file is missing"; done

mkdir -p "$work/run"
UNETMAP_SOCKET=$work/run/socket
export UNETMAP_SOCKET
mkfifo "$work/ready"
start daemon sh -c 'exec "$0" --foreground --ready-fd 7 7>"$1"' "$bin/unetmapd" "$work/ready"
head -c 1 "$work/ready" >/dev/null

# exchange NAME: two containers, by the function `contained`.
exchange() {
  start "$1-rx" contained "$1-rx" pkt-gen -i vale0:rx -f rx -n 1000 -w 0
  rx=$started
  run wait "$bin/unetmap" wait vale0:rx -t 60s || fail "$1: the receiver does not come: $(cat "$work/$1-rx.log")"
  "$bin/unetmap" set vale0:rx lossless on
  contained "$1-tx" pkt-gen -i vale0:tx -f tx -n 1000 -w 0 >"$work/$1-tx.out" 2>"$work/$1-tx.log" || fail "$1: the sender fails"
  ended "$rx" || fail "$1: the receiver fails"
  grep -h 'Received 1000 packets' "$work/$1-rx.out" "$work/$1-rx.log" >/dev/null || fail "$1: not all packets came"
  echo "$1: two containers exchange packets"
}

tried=
step "by bubblewrap"
if command -v bwrap >/dev/null && bwrap --unshare-user --unshare-pid --ro-bind / / true 2>/dev/null; then
  cat >"$work/contained" <<END
#!/bin/sh
shift
exec bwrap --unshare-all --die-with-parent --ro-bind "$root" / --tmpfs /tmp --proc /proc --dev /dev --bind "$work/run" /run/unetmap \\
  --setenv UNETMAP_SOCKET /run/unetmap/socket --setenv PATH /usr/libexec/unetmap/bin:/usr/bin:/bin -- "\$@"
END
  chmod +x "$work/contained"
  contained() { "$work/contained" "$@"; }
  # `start` takes a program, not a function.
  PATH=$work:$PATH
  exchange bubblewrap
  tried=1
else
  echo "left out: bubblewrap is not installed, or may not make namespaces"
fi

step "by crun"
if command -v crun >/dev/null; then
  cat >"$work/contained" <<END
#!/bin/sh
name=\$1
shift
bundle=$work/bundle-\$name
mkdir -p "\$bundle"
python3 - "$work/bundle/config.json" "\$bundle/config.json" "\$@" <<'PY'
import json, sys
config = json.load(open(sys.argv[1]))
config["process"].update(terminal=False, args=sys.argv[3:],
                         env=["PATH=/usr/libexec/unetmap/bin:/usr/bin:/bin", "UNETMAP_SOCKET=/run/unetmap/socket"])
config["root"] = {"path": "$root", "readonly": True}
config["mounts"].append({"destination": "/run/unetmap", "type": "none", "source": "$work/run", "options": ["rbind", "rw"]})
config["linux"].pop("resources", None)
json.dump(config, open(sys.argv[2], "w"))
PY
exec crun --root "$work/crun" --cgroup-manager=disabled run --bundle "\$bundle" "\$name"
END
  chmod +x "$work/contained"
  if "$work/contained" probe unetmap --version >"$work/probe.out" 2>"$work/probe.log" </dev/null; then
    PATH=$work:$PATH
    contained() { "$work/contained" "$@"; }
    exchange crun
    tried=1
  else
    echo "left out: crun does not run here: $(head -n 1 "$work/probe.log")"
  fi
fi
[ -n "$tried" ] || skip "the image is right; nothing here runs containers without privileges"
echo OK
