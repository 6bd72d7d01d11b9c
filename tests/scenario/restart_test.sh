#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What restarts cost a stream or datagram port: a peer sends a numbered frame each millisecond, and while it does its worker is
# killed or stopped for a moment, the daemon is restarted, or the peer itself goes and comes. Each time frames come again by
# themselves, none twice and none spoilt; the longest gap and the losses are printed, as docs/restarts.md has them. The cells of
# vhost-user and e1000 are tests of their own, which that page names; that they exist is looked at here.
# usage: restart_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmapd unetmap unetmap-worker
python=/usr/bin/python3
[ -x $python ] || skip "python3 is not installed"
PATH=$bin:$PATH
export PYTHONPATH="$source/python" UNETMAP_LIBRARY="$library" PYTHONDONTWRITEBYTECODE=1

step "the tests that docs/restarts.md names"
grep -oE '`[A-Za-z0-9_]+\.[A-Za-z0-9_]+`|`[a-z0-9_]+_test:[a-z0-9_]+`' "$source/docs/restarts.md" | tr -d '`' | sort -u >"$work/named"
[ "$(wc -l <"$work/named")" -ge 8 ] || fail "docs/restarts.md names no tests: $(cat "$work/named")"
while read -r name; do
  case $name in
    *:*) grep -q "def ${name#*:}\b" "$source"/tests/guest/"${name%%:*}".py "$source"/tests/guest/guestlib/survival.py || fail "there is no $name" ;;
    *) grep -rqE "TEST(_[FP])?\(${name%%.*}, *${name#*.}\)" "$source/tests/scenario" || fail "there is no $name" ;;
  esac
done <"$work/named"

cat >"$work/restart.py" <<'END'
import json, os, signal, socket, subprocess, sys, threading, time
import unetmap

LIMIT_S = 60
kind, what, path = sys.argv[1:]
port = f"vale0:{kind}"
HEAD = bytes([2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 0x88, 0xb5])

def call(*words): return subprocess.run(words, check=True, capture_output=True, text=True).stdout
def plug():
    listed = json.loads(call("unetmap", "ports", "--json"))["ports"]
    return next((each["plug"] for each in listed if each["name"] == port), {})
def frame(number): return HEAD + number.to_bytes(4, "big") + bytes((number + i) % 256 for i in range(42))

class Peer(threading.Thread):
    """Connects again whenever it is cut off, as QEMU does."""
    def __init__(self):
        super().__init__(daemon=True)
        self.next, self.ended, self.broken, self.fd = 1, False, False, None
    def connect(self):
        while not self.ended:
            fd = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM)
            try:
                if kind == "dgram":  # by the same name: it is the peer that the port knows
                    if os.path.exists(path + ".peer"): os.unlink(path + ".peer")
                    fd.bind(path + ".peer")
                fd.connect(path)
                return fd
            except OSError:
                fd.close()
                time.sleep(0.001)
    def run(self):
        self.fd = self.connect()
        while not self.ended:
            one = frame(self.next)
            try:
                if self.broken:
                    self.broken = False
                    raise BrokenPipeError
                self.fd.sendall(len(one).to_bytes(4, "big") + one if kind == "stream" else one)
            except OSError:
                self.fd.close()
                self.fd = self.connect()
                continue
            self.next += 1
            time.sleep(0.001)

class Receiver:
    def __init__(self):
        self.seen = []
        self.open()
    def open(self): self.port = unetmap.Port("vale0:receiver")
    def take(self, count):
        """So many more frames."""
        until, wanted = time.monotonic() + LIMIT_S, len(self.seen) + count
        while len(self.seen) < wanted:
            if time.monotonic() > until: sys.exit(f"{kind}, {what}: no frames come any more; {len(self.seen)} came")
            try:
                # A datagram port sees that its peer is another one when it has something for it.
                if not self.port.wait_rx(0.02): self.port.send_all([b"\xff" * 6 + HEAD[:6] + HEAD[12:] + bytes(46)], 1)
                came = [bytes(each) for each in self.port.receive()]
            except (OSError, TimeoutError):  # the daemon is gone, and its ports with it
                self.port.close()
                while True:
                    try: self.open(); break
                    except OSError: time.sleep(0.001)
                continue
            for each in came:
                number = int.from_bytes(each[14:18], "big")
                if each[:6] != HEAD[:6]: continue
                if each != frame(number): sys.exit(f"{kind}, {what}: frame {number} is spoilt")
                self.seen.append((time.monotonic(), number))

receiver, peer = Receiver(), Peer()
peer.start()
receiver.take(200)
worker = plug()["pid"]
if what == "worker killed": os.kill(worker, signal.SIGKILL)
elif what == "worker stopped":
    os.kill(worker, signal.SIGSTOP)
    threading.Timer(0.5, lambda: os.kill(worker, signal.SIGCONT)).start()
elif what == "peer gone": peer.broken = True
elif what == "daemon restarted":
    pid = json.loads(call("unetmap", "daemon", "--json"))["pid"]
    os.kill(pid, signal.SIGTERM)
elif what == "daemon killed":
    os.kill(json.loads(call("unetmap", "daemon", "--json"))["pid"], signal.SIGKILL)
# Whoever serves it now is another one, where one was ended.
ends = what in ("worker killed", "daemon restarted", "daemon killed")
until = time.monotonic() + LIMIT_S
while ends and plug().get("pid", worker) == worker:
    if time.monotonic() > until: sys.exit(f"{kind}, {what}: nobody else serves the port")
    receiver.take(1)
receiver.take(400)
peer.ended = True
peer.join()
numbers = [number for _, number in receiver.seen]
if len(set(numbers)) != len(numbers): sys.exit(f"{kind}, {what}: frames came twice")
times = [at for at, _ in receiver.seen]
gap = max(later - earlier for earlier, later in zip(times, times[1:]))
lost = numbers[-1] - numbers[0] + 1 - len(numbers)
print(f"{kind:8} {what:18} longest gap {gap * 1000:7.1f} ms, {lost} of {numbers[-1] - numbers[0] + 1} frames lost")
END
# A daemon keeps what is plugged in, also when this fails.
trap 'for kind in stream dgram; do "$bin/unetmap" unplug "vale0:$kind" >/dev/null 2>&1 || true; done; end_run' EXIT
for kind in stream dgram; do
  step "$kind"
  "$bin/unetmap" plug "vale0:$kind" "--$kind" "$work/$kind" || fail "not plugged"
  for what in "worker killed" "worker stopped" "peer gone" "daemon restarted" "daemon killed"; do
    run restart $python "$work/restart.py" "$kind" "$what" "$work/$kind" || fail "$(cat "$work/restart.log")"
    cat "$work/restart.out"
  done
  "$bin/unetmap" unplug "vale0:$kind"
done
echo OK
