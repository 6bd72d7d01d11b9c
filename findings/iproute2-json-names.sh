#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# iproute2's JSON uses one name several times in one object: of a tc filter (u32) with several matches readers see the last alone, so it looks wider than it is;
# lnstat's tables become one whose counters have each other's values.
#
# Expected: RFC 8259, 4: names within an object "SHOULD be unique", as otherwise "the behavior of software that receives such an object is unpredictable"; tc(8) and
# lnstat(8) have -j and --json as output in JSON, for programs, with all that is in the text. Lists are arrays elsewhere in the same output.
# Seen: "match ip dst 10.1.0.0/24 match ip protocol 17 match ip dport 53" is three times "match" beside each other: Python, jq, Go and JavaScript keep the last
# one, silently, and show a filter of all packets to port 53, of any protocol and address; a tool that writes back what it read installs that. lnstat has
# "entries" of conntrack, of routes and others side by side without their table's name, which the text has.
# Where: iproute2 6.15.0-1 of Debian 13, which is tried here with Linux 6.18, and 7.3.0-1 of sid alike:
#   tc filter, one match: text 0a010000/ffffff00 at 16; JSON each name once; readers have a010000/ffffff00 at 16
#   tc filter, three matches: text 0a010000/ffffff00 at 16; 00110000/00ff0000 at 8; 00000035/0000ffff at 20; JSON 3 times "match"; readers have 35/ffff at 20
#   lnstat: text 3 tables with entries; JSON 3 times "entries"
set -eu
skip() { echo "SKIP: $*" && exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# unpack RELEASE PACKAGE=VERSION...: Debian's, with what they need, below $work/root. Nothing is installed on this machine.
unpack() {
  root=$work/root apt=$work/apt
  # shellcheck disable=SC2016  # apt's own words
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' 2>/dev/null | sed -n 1p)
  [ -n "$mirror" ] || skip "apt knows no archive of Debian's here"
  mkdir -p "$root/tmp" "$apt/lists/partial" "$apt/archives/partial"
  for folder in bin sbin lib lib64; do mkdir -p "$root/usr/$folder" && ln -s "usr/$folder" "$root/$folder"; done
  : >"$apt/status"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $1 main" >"$apt/sources.list"
  cat >"$apt/conf" <<APT
Dir::State "$apt"; Dir::State::status "$apt/status"; Dir::Cache "$apt"; Dir::Etc::sourcelist "$apt/sources.list"; Dir::Etc::sourceparts "/dev/null";
APT::Sandbox::User "root"; APT::Install-Recommends "false";
APT
  shift
  { APT_CONFIG=$apt/conf apt-get -q update && APT_CONFIG=$apt/conf apt-get -q -y --download-only install "$@"; } >"$apt/log" 2>&1 </dev/null ||
    skip "$(grep '^E:' "$apt/log" | head -n 1)"
  for package in "$apt"/archives/*.deb; do dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$root"; done
}
for program in python3 dpkg-deb chroot unshare; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
[ "$(id -u)" -eq 0 ] || skip "it takes root, for chroot and namespaces"
unpack trixie iproute2=6.15.0-1
mkdir -p "$work/root/proc" "$work/root/sys"
mounts="mount -t proc proc \"\$1/root/proc\" && mount -t sysfs sysfs \"\$1/root/sys\" &&"
cat >"$work/try.py" <<'PYTHON'
"""In namespaces of its own: filters, and how their JSON has them."""
import json
import subprocess
import sys

root = sys.argv[1]
MATCHES = {
    "one match": ["ip", "dst", "10.1.0.0/24"],
    "three matches": ["ip", "dst", "10.1.0.0/24", "match", "ip", "protocol", "17", "0xff", "match", "ip", "dport", "53", "0xffff"],
}
repeated = []


def run(*command, status=0):
    """A command of iproute2, and what it prints; lnstat ends with 1."""
    done = subprocess.run(["chroot", root, *command], capture_output=True, text=True, check=False)
    if done.returncode not in (0, status):
        sys.exit(f"{command[0]}: {done.stderr}")
    return done.stdout


def noting(pairs):
    """An object as most readers have it, noting names that come more than once."""
    names = [name for name, _ in pairs]
    repeated.extend(f"{names.count(name)} times \"{name}\"" for name in dict.fromkeys(names) if names.count(name) > 1)
    return dict(pairs)


def read(text):
    """What a reader has of it, and the names that came more than once."""
    repeated.clear()
    value = json.loads(text, object_pairs_hook=noting)
    return value, ", ".join(repeated) or "each name once"


run("ip", "link", "add", "one", "type", "veth", "peer", "name", "two")
run("tc", "qdisc", "add", "dev", "one", "clsact")
seen = {}
for name, match in MATCHES.items():
    run("tc", "filter", "add", "dev", "one", "ingress", "protocol", "ip", "prio", "1", "u32", "match", *match, "classid", "1:1")
    text, (filters, names) = run("tc", "filter", "show", "dev", "one", "ingress"), read(run("tc", "-j", "filter", "show", "dev", "one", "ingress"))
    matches = [each["options"]["match"] for each in filters if "match" in each.get("options", {})]
    in_text = [" ".join(line.split()[1:4]) for line in text.splitlines() if line.split()[:1] == ["match"]]
    seen[name] = (names, len(in_text))
    in_json = [f"{each['value']}/{each['mask']} at {each.get('offset', each.get('off'))}" for each in matches]
    print(f"tc filter, {name}: text {'; '.join(in_text)}; JSON {names}; readers have {'; '.join(in_json)}")
    run("tc", "filter", "del", "dev", "one", "ingress")
tables = [word.strip() for word in run("lnstat", "-c", "1", status=1).splitlines()[1].split("|")].count("entries")
_, names = read(run("lnstat", "-j", "-c", "1", status=1))
print(f"lnstat: text {tables} tables with entries; JSON {names}")
if seen["one match"] != ("each name once", 1) or seen["three matches"][1] != 3:
    sys.exit("the filters are not as they were told: something else is wrong here")
sys.exit(0 if seen["three matches"][0] == '3 times "match"' and (tables < 2 or f'{tables} times "entries"' in names) else 10)
PYTHON
status=0
unshare --net --mount --propagation private sh -c "$mounts exec python3 \"\$1/try.py\" \"\$1/root\"" sh "$work" 2>"$work/errors" || status=$?
case $status in
  0) exit 0 ;;
  10) echo "it is not so any more" && exit 1 ;;
  *) skip "it cannot be tried: $(tail -n 1 "$work/errors")" ;;
esac
