#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The page of unetmap serve in headless Chromium, driven by playwright-core. UNETMAP_SCREENSHOTS=FOLDER keeps the pictures.
# usage: serve_browser_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname "$0")/lib/common.sh"
built unetmapd unetmap pkt-gen
for program in node npm chromium; do
  command -v $program >/dev/null || skip "$program is not installed"
done
unetmap=$bin/unetmap
pictures=${UNETMAP_SCREENSHOTS:-$work}

# What package-lock.json pins, once for a build folder.
modules=$build/browser-tests
if ! cmp -s "$source/tests/browser/package-lock.json" "$modules/installed.lock"; then
  mkdir -p "$modules"
  cp "$source/tests/browser/package.json" "$source/tests/browser/package-lock.json" "$modules"
  (cd "$modules" && npm ci --silent --prefer-offline --no-audit --no-fund >"$work/npm.log" 2>&1) || skip "playwright-core cannot be fetched from npm"
  cp "$source/tests/browser/package-lock.json" "$modules/installed.lock"
fi
cp "$source/tests/browser/page_test.mjs" "$modules"

start rx "$bin/pkt-gen" -i vale0:rx -f rx -w 0
until "$unetmap" ports 2>/dev/null | grep -q '^vale0:rx '; do kill -0 "$started" || fail "no receiver"; done
start tx "$bin/pkt-gen" -i vale0:tx -f tx -w 0 -R 20000
until "$unetmap" ports 2>/dev/null | grep -q '^vale0:tx '; do kill -0 "$started" || fail "no sender"; done
start serve "$unetmap" serve --listen 127.0.0.1:0 --control
server=$started
until [ -s "$work/serve.out" ]; do kill -0 "$server" || fail "serve ended"; done
read -r url <"$work/serve.out"
HOME=$work timeout 240 node "$modules/page_test.mjs" "$url" "$pictures" >"$work/browser.log" 2>&1 || fail "the page is not right in the browser"
echo PASS
