#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The npm package pcap-generator takes the digits behind a time's point for a number of microseconds: half a second becomes five microseconds; and some milliseconds
# come out a microsecond early.
#
# Expected: its README: "it supports both miliseconds (timestamp is an integer) and microseconds (timestamp is a float)", with 1802869.484431046, seconds and a
# fraction, as the example. 1700000000.5 is then half a second after 1700000000, which a capture has as 500000 microseconds (draft-ietf-opsawg-pcap, 5).
# Seen: .5, .05 and .000005 all are 5 microseconds, since the digits are read as a number; a time is right only if it happens to have six digits or more. In
# ordinary traffic, one in ten ends with a 0, which numbers do not keep, and comes up to a second early, and out of order. An integer of milliseconds
# is divided and multiplied as a float: what Date.now() gives as 123 is 122999 microseconds. (A float whose value is whole, 1700000001.0, is an integer in
# JavaScript, and taken for milliseconds: 20 January 1970.)
# Where: pcap-generator 0.2.3 of npm with node 20, which is tried here; its time and the capture's:
#   1700000000.123456: 1700000000.123456
#   1700000000.5: 1700000000.000005
#   1700000000.05: 1700000000.000005
#   1700000000.25: 1700000000.000025
#   1700000001.0: 1700000.000999
#   1700000000123: 1700000000.122999
#   1700000000999: 1700000000.999000
set -eu
skip() { echo "SKIP: $*" && exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for program in node npm; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
npm install --prefix "$work" --cache "$work/cache" --ignore-scripts --no-audit --no-fund --no-update-notifier pcap-generator@0.2.3 >"$work/log" 2>&1 </dev/null ||
  skip "npm does not install pcap-generator: $(grep -m 1 'error' "$work/log")"
cat >"$work/try.js" <<'JAVASCRIPT'
// Captures of one frame each, and the time that is in them.
const generator = require('pcap-generator').configure({ linkLayerType: 1 })
const seen = {}
for (const time of ['1700000000.123456', '1700000000.5', '1700000000.05', '1700000000.25', '1700000001.0', '1700000000123', '1700000000999']) {
  const file = generator([{ timestamp: Number(time), buffer: Buffer.alloc(60) }])
  seen[time] = file.readUInt32BE(24) + '.' + String(file.readUInt32BE(28)).padStart(6, '0')
  console.log(`${time}: ${seen[time]}`)
}
if (seen['1700000000.123456'] !== '1700000000.123456' || seen['1700000000999'] !== '1700000000.999000') {
  console.error('not even those are right: something else is wrong here')
  process.exit(1)
}
process.exit(seen['1700000000.5'] !== '1700000000.500000' && seen['1700000000.05'] !== '1700000000.050000' && seen['1700000000123'] !== '1700000000.123000' ? 0 : 10)
JAVASCRIPT
status=0
(cd "$work" && node try.js) 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
