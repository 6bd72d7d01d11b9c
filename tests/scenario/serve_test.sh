#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# unetmap serve and unetmap metrics: what is answered to whom, on loopback and on a Unix socket; captures; what promtool and a real
# Prometheus make of the metrics; ends and errors.
# usage: serve_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname "$0")/lib/common.sh"
built unetmapd unetmap pkt-gen
unetmap=$bin/unetmap

# serve NAME ARGUMENTS...: in the background; sets $server and $url once it listens.
serve() {
  start "$@"
  server=$started
  serve_out=$work/$1.out
  until [ -s "$serve_out" ]; do kill -0 "$server" 2>/dev/null || fail "$1: ended before it listened"; done
  read -r url <"$serve_out"
}

step "metrics without a daemon"
run metrics "$unetmap" metrics || fail "metrics failed"
grep -qx 'unetmap_up 0' "$work/metrics.out" || fail "unetmap_up is not 0"

start rx "$bin/pkt-gen" -i vale0:rx -f rx -w 0
until "$unetmap" ports 2>/dev/null | grep -q '^vale0:rx '; do kill -0 "$started" || fail "no receiver"; done
start tx "$bin/pkt-gen" -i vale0:tx -f tx -w 0 -R 2000
until "$unetmap" ports 2>/dev/null | grep -q '^vale0:tx '; do kill -0 "$started" || fail "no sender"; done

step "mistakes"
for wrong in "--listen nonsense" "--listen 0.0.0.0:0" "--listen 127.0.0.1:99999" "--token $work/no-such-file"; do
  status=0
  # shellcheck disable=SC2086
  run wrong "$unetmap" serve $wrong || status=$?
  [ "$status" -eq 2 ] || fail "serve $wrong: status $status"
  [ "$(wc -l <"$work/wrong.log")" -eq 1 ] || fail "serve $wrong: not told in one line"
done

step "who is answered"
serve loopback "$unetmap" serve --listen 127.0.0.1:0 --control
python3 "$helpers/serve_client.py" "$url" || fail "the answers are not right"
status=0
run used "$unetmap" serve --listen "$(echo "$url" | sed 's,http://,,; s,/,,')" || status=$?
[ "$status" -eq 1 ] && grep -q 'in use; choose another' "$work/used.log" || fail "a port in use is not told"

step "a capture by the page's button"
python3 "$helpers/serve_client.py" --capture vale0:tx "$work/got.pcapng" "$url" || fail "no capture"
if command -v tshark >/dev/null; then
  [ "$(tshark -r "$work/got.pcapng" -c 5 2>/dev/null | wc -l)" -eq 5 ] || fail "the capture holds less than 5 packets"
fi

step "it ends at once, also while a capture runs"
python3 "$helpers/serve_client.py" --capture-and-wait vale0:tx "$url" &
reader=$!
until pgrep -P "$server" >/dev/null; do kill -0 "$reader" || fail "the capture did not begin"; done
kill -TERM "$server"
wait "$server" || fail "serve ended with an error"
wait "$reader" || true

step "a token"
echo 0123456789abcdefXYZ >"$work/token"
serve token "$unetmap" serve --listen 127.0.0.1:0 --token "$work/token"
case $url in *'?token=0123456789abcdefXYZ') ;; *) fail "the address lacks the token: $url" ;; esac
python3 "$helpers/serve_client.py" --token 0123456789abcdefXYZ "${url%%\?*}" || fail "the token is not asked for, or not taken"
kill -TERM "$server"
wait "$server" || fail "serve ended with an error"

step "a Unix socket"
serve unix "$unetmap" serve --listen "$work/http.sock"
[ "$(stat -c %a "$work/http.sock")" = 700 ] || [ "$(stat -c %a "$work/http.sock")" = 600 ] || fail "others can connect to the socket"
python3 "$helpers/serve_client.py" --unix "$work/http.sock" || fail "the Unix socket does not answer"
kill -TERM "$server"
wait "$server" || fail "serve ended with an error"
[ ! -e "$work/http.sock" ] || fail "the socket is left behind"

step "a textfile"
# As other commands in a pipe whose reader has what it wanted.
python3 -c 'import os, subprocess, sys
read_end, write_end = os.pipe()
os.close(read_end)
ended = subprocess.run([sys.argv[1], "metrics"], stdout=write_end, stderr=subprocess.PIPE)
sys.exit(f"status {ended.returncode}, {ended.stderr}" if (ended.returncode, ended.stderr) != (-13, b"") else 0)' "$unetmap" ||
  fail "metrics in a pipe that nobody reads"
run once "$unetmap" metrics --write "$work/unetmap.prom" || fail "metrics --write failed"
grep -q '^unetmap_port_packets_total{port="vale0:tx",switch="vale0",kind="vale",direction="transmit"} [1-9]' "$work/unetmap.prom" ||
  fail "the sender's packets are not in the file"
status=0
run full "$unetmap" metrics --write "$work/no/such/folder/x.prom" || status=$?
[ "$status" -eq 1 ] || fail "a file that cannot be written: status $status"

step "promtool and Prometheus"
if command -v promtool >/dev/null && command -v prometheus >/dev/null; then
  promtool check metrics <"$work/unetmap.prom" >"$work/promtool.log" 2>&1 || fail "promtool complains"
  [ ! -s "$work/promtool.log" ] || fail "promtool has remarks"
  serve scraped "$unetmap" serve --listen 127.0.0.1:0
  python3 "$helpers/prometheus_scrapes.py" "${url#http://}" "$work" || fail "Prometheus does not get the metrics"
  kill -TERM "$server"
  wait "$server" || fail "serve ended with an error"
else
  echo "not tried: prometheus is not installed"
fi
echo PASS
