#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Saved configuration: what a file says is made, once, after it was shown; `unetmap show` writes a file that changes nothing;
# settings stay for the names of ports that come and go; what is wrong in a file is told with its line and key.
# usage: apply_test.sh BUILD_DIR    exit 0 ok, 1 failed, 77 skipped
set -eu
lib=$(dirname -- "$0")/lib
. "$lib/own_namespace.sh"
. "$lib/common.sh"
built unetmapd unetmap pkt-gen vale-ctl unetmap-worker
PATH=$bin:$PATH

# In the foreground: it ends with the test, whatever it still has.
mkfifo "$work/ready"
start daemon sh -c 'exec unetmapd --foreground --ready-fd 7 7>"$0"' "$work/ready"
head -c 1 "$work/ready" >/dev/null

file=$work/unetmap.toml
cat >"$file" <<END
[persistent.keepme]
tx_slots = 512

[switch.vale0]
pins = { "02:00:00:00:00:AA" = "vale0:a" }

[port."vale0:a"]
lossless = true
rate = "250M"
addresses = ["10.0.0.5", "fd00::/64"]

[port."vale0:b"]
mac = "02:00:00:00:00:0B"
link_local = ["lldp", 0, "3"]
isolated = 7

[port."vale0:vm1"]
plug = { kind = "stream", socket = "vm1.sock" }
mac = "02:00:00:00:00:11"

[port."vale1:keepme"]
attach = "interface"
vlan = "access 10"
END

# apply OUT [OPTION]...
apply() {
  out=$1
  shift
  run "$out" unetmap apply "$file" "$@" || fail "apply: $(cat "$work/$out.log")"
}
# listed PORT JSON-MEMBER VALUE: what unetmap ports --json says of a port, there or not.
listed() {
  unetmap ports --json | perl -MJSON::PP -0777 -e '
    my ($port, $key, $value) = @ARGV; my $all = decode_json(<STDIN>);
    for (@{$all->{ports}}, @{$all->{awaited}}) { next if $_->{name} ne $port;
      my $is = JSON::PP->new->canonical->allow_nonref->encode($_->{$key}); exit 0 if $is eq $value; print "$port: $key is $is\n"; exit 1 }
    print "$port is not listed\n"; exit 1' "$1" "$2" "$3" || fail "$1: $2 is not $3"
}

step "nothing is changed before somebody agrees"
apply dry --dry-run
must_have "$work/dry.out" '^\+ port vale0:a: lossless true$'
must_have "$work/dry.out" '^\+ port vale0:a: rate 250000000$'
must_have "$work/dry.out" '^\+ port vale0:vm1: plug .*stream'
must_have "$work/dry.out" '^\+ persistent keepme: '
run show unetmap show || fail "show: $(cat "$work/show.log")"
[ ! -s "$work/show.out" ] || fail "a dry run changed something: $(cat "$work/show.out")"
wrong 2 'nobody to ask.*--yes' unetmap apply "$file"

step "made, once"
apply first --yes
listed vale0:a lossless true
listed vale0:a rate 250000000
listed vale0:a addresses '["10.0.0.5/32","fd00::/64"]'
listed vale0:b mac '"02:00:00:00:00:0b"'
listed vale0:b link_local '"stp,eapol,lldp"'
listed vale0:vm1 mac '"02:00:00:00:00:11"'
listed vale1:keepme attached true
[ -S "$work/vm1.sock" ] || fail "the plug's socket is not beside the file"
apply again --yes
must_have "$work/again.out" 'nothing to change'
[ "$(wc -l <"$work/again.out")" -eq 1 ] || fail "the second time changes something: $(cat "$work/again.out")"

step "what show writes is the same"
unetmap show >"$work/shown.toml"
run same unetmap apply "$work/shown.toml" --yes --prune || fail "what show wrote is not taken: $(cat "$work/same.log" "$work/shown.toml")"
must_have "$work/same.out" 'nothing to change'

step "settings stay for a name whose port comes and goes"
for round in 1 2; do
  start rx pkt-gen -i vale0:a -f rx
  rx=$started
  run wait unetmap wait vale0:a -t 60s || fail "vale0:a does not come"
  wrong 1 'vale0:a,b' unetmap wait vale0:a,b
  listed vale0:a lossless true
  listed vale0:a users 1
  kill -INT "$rx"
  ended "$rx" || true
done
start b pkt-gen -i vale0:b -f tx -S 02:00:00:00:00:0c -n 1000
ended "$started" || fail "pkt-gen cannot send: $(cat "$work/b.log")"
listed vale0:b isolated 7

step "the pin leads to the port"
start rx pkt-gen -i vale0:a -f rx -n 100
rx=$started
run wait unetmap wait vale0:a -t 60s
unetmap fdb vale0 | grep -qi '02:00:00:00:00:aa.*vale0:a' || fail "not pinned: $(unetmap fdb vale0)"
kill -INT "$rx"
ended "$rx" || true

step "a changed file changes what is different in it"
sed -i -e 's/lossless = true/isolated = 3/' -e 's/vm1\.sock/vm2.sock/' -e '/^mac = "02:00:00:00:00:11"/d' "$file"
apply second --yes
must_have "$work/second.out" '^- port vale0:a: lossless true$'
must_have "$work/second.out" '^\+ port vale0:a: isolated 3$'
must_have "$work/second.out" '^~ port vale0:vm1: plug '
if has "$work/second.out" 'vale0:b'; then fail "vale0:b is the same: $(cat "$work/second.out")"; fi
listed vale0:a isolated 3
listed vale0:a lossless null
[ -S "$work/vm2.sock" ] || fail "the plug's socket did not change"
[ ! -e "$work/vm1.sock" ] || fail "the old socket is still there"

step "what the file does not name stays, unless --prune"
cat >"$file" <<END
[port."vale0:b"]
isolated = 7
END
apply less --yes
must_have "$work/less.out" 'port vale0:vm1: is not in the file, and stays'
listed vale0:vm1 attached true
apply prune --yes --prune
must_have "$work/prune.out" '^- port vale0:vm1: plug'
must_have "$work/prune.out" '^- persistent keepme'
[ "$(unetmap show | grep -v '^$')" = '[port."vale0:b"]
isolated = 7' ] || fail "after --prune there is: $(unetmap show)"
apply all --yes --json
has "$work/all.out" '"changes":\[\],"applied":false' || fail "JSON: $(cat "$work/all.out")"
echo >"$file"
apply none --yes --prune
[ -z "$(unetmap show)" ] || fail "an empty file leaves: $(unetmap show)"

step "the host side of an attached interface"
if ip link add wire type veth peer name other 2>/dev/null; then
  printf '%s\n' '[port."vale3:wire"]' 'attach = "host"' '[port."vale3:wire^"]' 'vlan = "access 10"' >"$work/host.toml"
  run host unetmap apply "$work/host.toml" --yes || fail "its settings are not taken: $(cat "$work/host.log")"
  listed 'vale3:wire^' vlan '"access 10"'
  listed vale3:wire vlan null
  run host unetmap apply "$work/host.toml" --yes || fail "the second time: $(cat "$work/host.log")"
  must_have "$work/host.out" 'nothing to change'
  unetmap show >"$work/host-shown.toml"
  run host unetmap apply "$work/host-shown.toml" --yes --prune || fail "what show wrote is not taken: $(cat "$work/host.log")"
  must_have "$work/host.out" 'nothing to change'
  vale-ctl -d vale3:wire >/dev/null
  ip link del wire
fi

step "mistakes"
# says TEXT LINES...: a file of these lines is refused with that.
says_of() {
  text=$1
  shift
  printf '%s\n' "$@" >"$file"
  wrong 1 "$text" unetmap apply "$file" --yes
  [ -z "$(unetmap show)" ] || fail "a file with a mistake changed something: $(unetmap show)"
}
says_of 'unetmap.toml:2: ' '[port."vale0:a"]' 'lossless = ' 
says_of 'unetmap.toml:2: port."vale0:a".mac: .*is no address of a single station' '[port."vale0:a"]' 'mac = "ff:ff:ff:ff:ff:ff"'
says_of 'unetmap.toml:3: port."vale0:a".rat: there is no such key; .*unetmap set' '[port."vale0:a"]' 'isolated = 1' 'rat = 5'
says_of 'unetmap.toml:2: port."vale0:a".rate: .*takes bits' '[port."vale0:a"]' 'rate = "fast"'
for odd in nan inf -inf; do says_of 'unetmap.toml:2: port."vale0:a".rate: .*takes bits' '[port."vale0:a"]' "rate = $odd"; done
says_of 'unetmap.toml:1: ports: there is no such table; .*port' '[ports."vale0:a"]' 'rate = 1'
says_of 'unetmap.toml:1: port.eth0: is no port of a switch; .*vale0:1' '[port.eth0]'
says_of 'unetmap.toml:2: port."vale0:a".plug.kind: is to be one of' '[port."vale0:a"]' 'plug = { kind = "tap", socket = "x" }'
says_of 'unetmap.toml:3: port."vale0:a".plug.sokket: there is no such key' '[port."vale0:a".plug]' 'kind = "dgram"' 'sokket = "x"' 'socket = "y"'
says_of 'unetmap.toml:3: port."vale0:a".zero_copy: is for ports that programs open' '[port."vale0:a"]' \
  'plug = { kind = "stream", socket = "x" }' 'zero_copy = true'
says_of 'unetmap.toml:3: port."vale0:a".zero_copy: is for ports that programs open' '[port."vale0:a"]' \
  'attach = "interface"' 'zero_copy = true'
card='kind = "e1000", socket = "x"'
says_of 'unetmap.toml:2: port."vale0:a".plug.itr_us: .*needs mitigation' '[port."vale0:a"]' \
  "plug = { $card, itr_us = 10, mitigation = false }"
says_of 'unetmap.toml:2: port."vale0:a".plug.itr_us: takes at most' '[port."vale0:a"]' "plug = { $card, itr_us = 20000 }"
says_of 'unetmap.toml:2: port."vale0:a".plug.mac: is no Ethernet address' '[port."vale0:a"]' "plug = { $card, mac = \"02:\" }"
says_of 'unetmap.toml:2: port."vale0:a".plug.paravirt: is for the kind "e1000" alone' '[port."vale0:a"]' \
  'plug = { kind = "dgram", socket = "x", paravirt = true }'
says_of 'unetmap.toml:3: switch.vale0.pins."02:": is no Ethernet address' '[switch.vale0]' '[switch.vale0.pins]' '"02:" = "vale0:1"'
for odd in '[[[' '[[[a]]]' '[[=]]' '[[.]]' '[[ ['; do says_of 'unetmap.toml: has what is no TOML' "$odd"; done
says_of 'unetmap.toml:1: port."vale0:a*": is longer than .* 63 bytes' "[port.\"vale0:$(printf '%058d' 0 | tr 0 a)\"]" 'isolated = 1'
wrong 1 'vale0:nobody\^: no such port' unetmap set 'vale0:nobody^' isolated 3
wrong 1 'absent.toml: No such file' unetmap apply "$work/absent.toml" --yes
wrong 1 "${work##*/}: Is a directory" unetmap apply "$work" --yes

step "one thing that cannot be done does not keep the others"
cat >"$file" <<END
[port."vale0:nowhere0"]
attach = "interface"

[port."vale0:x"]
isolated = 1
END
wrong 1 'vale0:nowhere0: .*no persistent port' unetmap apply "$file" --yes
listed vale0:x isolated 1
echo OK
