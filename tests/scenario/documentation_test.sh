#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The commands of the README, of docs/, of the tutorial and of the examples of manual pages work as they are written there: lib/page_commands.py reads them
# from the pages, whose marks say which are run and which are looked at.
# usage: documentation_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
. "$(dirname -- "$0")/lib/common.sh"
built unetmapd unetmap pkt-gen vale-ctl bridge tlem
for program in python3 tcpdump; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
[ -d "$build/aliases" ] && PATH=$build/aliases:$PATH
export PATH="$bin:$PATH" PROGRAMS="$bin" HOME="$work"

step "marks that are missing, or say what is not so"
page() { # TEXT...: of a page that has a mistake
  printf '%s\n' "$@" >"$work/page.md"
  python3 "$helpers/page_commands.py" "$work/page.md" >"$work/page.out" 2>"$work/page.log"
}
mistake() { # WHAT IS SAID, TEXT...
  said=$1
  shift
  if page "$@"; then fail "a page that is wrong passes: $*"; fi
  has "$work/page.log" "$said" || fail "not '$said' but: $(cat "$work/page.log")"
}
cd "$source"
mistake 'without a mark' 'See:' '' '    unetmap ports'
mistake 'without a mark' '```' 'unetmap ports' '```'
mistake 'no reason' '<!-- commands: options -->' '' '    unetmap ports'
mistake 'unetmap has no option --nonesuch' '<!-- commands: options: for root -->' '' '    unetmap ports --nonesuch'
mistake "has no command 'nonesuch'" '<!-- commands: options: builds -->' '' '    ./dev nonesuch'
mistake "'unetmap nonesuch' has no help" '<!-- commands: options: for root -->' '' '    unetmap nonesuch x'
mistake "'unetmap nonesuch' gave 2" '<!-- commands: run -->' '' '    unetmap nonesuch'
mistake 'no block behind it' '<!-- commands: run -->' 'A sentence.'
page '<!-- commands: run -->' '' '    unetmap ports' 'A sentence.' '' '<!-- commands: text -->' '```' 'a drawing' '```' || fail "a page that is right does not pass: $(cat "$work/page.log")"

step "the pages"
# What the pages call so, in a folder of this run.
mkdir "$work/here"
ln -s "$build" "$work/here/build"
for each in dev scripts README.md docs examples; do ln -s "$source/$each" "$work/here/$each"; done
cd "$work/here"
python3 "$helpers/page_commands.py" README.md docs/*.md docs/man/unetmap-tutorial.7 >"$work/pages.out" 2>"$work/pages.log" ||
  fail "a page does not say what is so: $(cat "$work/pages.log")"
cat "$work/pages.out"

step "the examples of the manual pages"
# Some ask a daemon that is there.
start holder pkt-gen -i vale99:holder -f rx
await_port vale99:holder
perl "$helpers/pcap.pl" make in.pcap
cp in.pcap file.pcap
python3 "$helpers/page_commands.py" --examples "$source"/tools/*/*.8 "$source"/scripts/*.8 "$source"/docs/man/*.[1-8] >"$work/examples.out" \
  2>"$work/examples.log" || fail "an example does not say what is so: $(cat "$work/examples.log")"
cat "$work/examples.out"
echo OK
