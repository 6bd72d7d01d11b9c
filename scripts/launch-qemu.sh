#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A virtual machine on a tap device, on QEMU's user networking, or on a port of a VALE switch, with an unmodified QEMU.
# launch-qemu.sh(8) is the manual. Change the variables below, or set them in the environment.
set -euo pipefail

QEMU=${QEMU:-qemu-system-x86_64}  # program
MACHINE=${MACHINE:-pc}            # pc or q35
MEMORY=${MEMORY:-512M}
CPUS=${CPUS:-1}
IMAGE=${IMAGE:-}                  # disk image (raw or qcow2); empty: the guest of make-guest.py
DISK=${DISK:-ide}                 # how IMAGE is plugged in: ide, or virtio, which is faster if its system has the driver
KERNEL=${KERNEL:-}                # that guest's kernel: a Debian release; empty: make-guest.py's choice
DEVICE=${DEVICE:-e1000}           # e1000, e1000-paravirt, e1000e, virtio-net-pci, ... (QEMU -device help)
MITIGATION=${MITIGATION:-off}     # e1000: interrupt mitigation
IOEVENTFD=${IOEVENTFD:-on}        # virtio-net: notifications of the guest as events
VHOST=${VHOST:-off}               # virtio-net with --tap: packets moved by the host's kernel
QUEUES=${QUEUES:-1}               # virtio-net: pairs of queues
MAC=${MAC:-}                      # empty: made from the index
SWITCH=${SWITCH:-vale0}           # --vale: the switch
LINK=${LINK:-auto}                # vhost-user (virtio-net), vfio-user (e1000; --tap too), stream or dgram
CONSOLE=${CONSOLE:-mon:stdio}     # -serial of the first serial line
APPEND=${APPEND:-}                # more of the kernel's command line, for the guest of make-guest.py
EXTRA=${EXTRA:-}                  # more arguments for QEMU, split at spaces
BIN=${BIN:-}                      # folder of this project's programs; empty: the build of this tree, or the installed ones

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
usage="usage: ${0##*/} {qemu|kvm} {--tap|--netuser|--vale} [IDX] [--dry-run]"

fail() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}
usage_error() {
  printf '%s: %s\n%s\n' "${0##*/}" "$*" "$usage" >&2
  exit 2
}

accel='' backend='' idx='' dry_run=''
# once NAME VALUE: sets a variable that has no value yet.
once() {
  [ -z "${!1}" ] || usage_error "'$2' after '${!1}'"
  printf -v "$1" %s "$2"
}
for word; do
  case $word in
    -h | --help)
      printf '%s\n' "$usage"
      exit 0
      ;;
    --dry-run) dry_run=1 ;;
    qemu | kvm) once accel "$word" ;;
    --tap | --netuser | --vale) once backend "${word#--}" ;;
    -*) usage_error "'$word' is not one of --tap, --netuser, --vale, --dry-run" ;;
    *)
      [ -n "$accel$backend" ] || usage_error "'$word' is neither qemu nor kvm"
      once idx "$word"
      ;;
  esac
done
[ -n "$accel" ] || usage_error "say qemu (emulation) or kvm (hardware virtualization)"
[ -n "$backend" ] || usage_error "say --tap, --netuser or --vale"
[ -n "$idx" ] || [ "$backend" = netuser ] || usage_error "--$backend needs an index, as in: ${0##*/} $accel --$backend 01"
[[ $idx =~ ^[A-Za-z0-9_]{0,10}$ ]] || usage_error "index '$idx' has other characters than letters and digits, or more than 10"
# 10.0.0.N is the address of guest N, and ends its hardware address. An index with letters stands for a number of its own.
number=1
if [[ $idx =~ ^[0-9]+$ ]]; then
  number=$((10#$idx))
elif [ -n "$idx" ]; then
  number=$(($(printf %s "$idx" | cksum | cut -d ' ' -f 1) % 254 + 1))
fi
if [ -z "$IMAGE" ] && { [ "$number" -lt 1 ] || [ "$number" -gt 254 ]; }; then
  fail "index $idx: guests have addresses 10.0.0.1 to 10.0.0.254"
fi
for name in CPUS QUEUES; do
  [[ ${!name} =~ ^[1-9][0-9]{0,2}$ ]] || fail "$name=${!name} is no number from 1 on"
done
for name in MITIGATION IOEVENTFD VHOST; do
  [[ ${!name} =~ ^(on|off)$ ]] || fail "$name=${!name} is neither on nor off"
done
[[ $LINK =~ ^(auto|vhost-user|vfio-user|stream|dgram)$ ]] || fail "LINK=$LINK is not one of auto, vhost-user, vfio-user, stream, dgram"

command -v "$QEMU" >/dev/null || fail "$QEMU is missing: install qemu-system-x86, or say in QEMU where it is"
version=$("$QEMU" --version 2>&1 </dev/null | sed -n '1s/.*version \([0-9]\{1,\}\)\.\([0-9]\{1,\}\)\.*\([0-9]*\).*/\1 \2 \3/p') || true
[ -n "$version" ] || fail "$QEMU tells no version as QEMU does: say in QEMU where one is that works"
# at_least MAJOR MINOR: QEMU is so new.
at_least() {
  local major minor
  read -r major minor _ <<<"$version"
  [ "$major" -gt "$1" ] || { [ "$major" -eq "$1" ] && [ "$minor" -ge "$2" ]; }
}

children=()
folder=
port=
attached=
# shellcheck disable=SC2317  # reached through the trap
clean_up() {
  trap '' INT TERM HUP
  local pid
  for pid in "${children[@]}"; do
    kill -TERM "$pid" 2>/dev/null || true
    kill -CONT "$pid" 2>/dev/null || true # one that was stopped would not end
  done
  for pid in "${children[@]}"; do wait "$pid" 2>/dev/null || true; done
  if [ -n "$port" ]; then "$unetmap" unplug "$port" >/dev/null 2>&1 || true; fi
  if [ -n "$attached" ]; then "$vale_ctl" -d "$attached" >/dev/null 2>&1 || true; fi
  if [ -n "$folder" ]; then rm -rf "$folder"; fi
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# --- acceleration ---

# A /dev/kvm that opens may still run no guest, as in some nested machines: see whether the firmware comes to its first words.
kvm_works() {
  local probe
  "$QEMU" -accel kvm -machine pc -m 64M -nodefaults -no-user-config -display none -chardev "file,id=log,path=$1/firmware" \
    -device isa-debugcon,iobase=0x402,chardev=log </dev/null >"$1/complaint" 2>&1 &
  probe=$!
  children=("$probe")
  for _ in {1..60}; do
    if [ -s "$1/firmware" ] || ! kill -0 "$probe" 2>/dev/null; then break; fi
    sleep 0.05
  done
  kill -KILL "$probe" 2>/dev/null || true
  wait "$probe" 2>/dev/null || true
  children=()
  [ -s "$1/firmware" ]
}

need_kvm() {
  local other="use '${0##*/} qemu --$backend${idx:+ $idx}' for emulation"
  [ -c /dev/kvm ] || fail "no KVM: /dev/kvm does not exist (module kvm_intel or kvm_amd not loaded, or nothing to load it for); $other"
  # Without these flags a kvm module may still exist that runs adapted kernels only, and hangs with others.
  grep -qE '^flags.* (vmx|svm)( |$)' /proc/cpuinfo ||
    fail "no usable KVM: /dev/kvm is there, but this processor shows no hardware virtualization (neither vmx nor svm); $other"
  if [ ! -r /dev/kvm ] || [ ! -w /dev/kvm ]; then
    fail "no KVM: /dev/kvm may not be opened by you (join its group, usually kvm); $other"
  fi
  kvm_works "$folder" || fail "no usable KVM: /dev/kvm is there, but no guest runs: $(grep -v warning "$folder/complaint" |
    head -n 1 | grep . || echo "its processor executes nothing"); $other"
}

# --- the network ---

virtio() { [[ $DEVICE == virtio-net* ]]; }
intel() { [ "$DEVICE" = e1000 ] || [ "$DEVICE" = e1000-paravirt ]; }
# Whether QEMU reaches cards that are served elsewhere. 10.1.0 cannot be used.
can_vfio_user() { [[ $version != "10 1 0" && $("$QEMU" -device vfio-user-pci,help 2>&1) == *"socket="* ]]; }
reconnect() {
  if at_least 9 2; then echo ,reconnect-ms=200; elif at_least 8 0 || [ "$1" = chardev ]; then echo ,reconnect=1; fi
}

device=$DEVICE,netdev=net0,romfile=
memory=()
stay=()
# QEMU's own e1000.
own_e1000() {
  [ "$DEVICE" = e1000 ] || fail "DEVICE=$DEVICE needs a QEMU that has vfio-user-pci (10.1.1 or later), and LINK=auto or vfio-user"
  if "$QEMU" -device e1000,help | grep -q '^ *mitigation='; then
    device+=,mitigation=$MITIGATION
  elif [ "$MITIGATION" = off ]; then
    echo "${0##*/}: interrupt mitigation stays on: the e1000 of this QEMU has no switch for it" >&2
  fi
}
case $DEVICE in
  virtio-net*)
    device+=,ioeventfd=$IOEVENTFD
    if [ "$QUEUES" -gt 1 ]; then device+=,mq=on,vectors=$((2 * QUEUES + 2)); fi
    ;;
esac

# program NAME: its path.
program() {
  local path=${BIN:-$here/../build/bin}/$1
  [ -x "$path" ] || path=$(command -v "$1") || fail "the program $1 is missing: build or install it first"
  printf %s "$path"
}
shared_memory() {
  memory=(-object "memory-backend-memfd,id=ram,size=$MEMORY,share=on" -machine memory-backend=ram)
}

# A card of ours on port $1, which QEMU reaches through vfio-user. Its address is ours as well, so it has to be told.
vfio_user_link() {
  intel || fail "LINK=vfio-user serves e1000 and e1000-paravirt only: set DEVICE, or LINK=auto"
  can_vfio_user || fail "LINK=vfio-user: this QEMU has no vfio-user-pci that works; take 10.1.1 or later"
  plug=("$unetmap" plug "$1" --e1000 "$folder/port" --mitigation "$MITIGATION" --mac "$MAC")
  if [ "$DEVICE" = e1000-paravirt ]; then plug+=(--paravirt); fi
  netdev=
  device='{"driver":"vfio-user-pci","id":"card","romfile":"","socket":{"type":"unix","path":"'$folder/port'"}}'
  shared_memory
  # QEMU would move the machine to another host and leave the card's state behind. It moves none that is a peer of others.
  stay=(-object "memory-backend-memfd,id=stay-memory,size=4K,share=on" -device "ivshmem-plain,id=stay,memdev=stay-memory,master=off")
}

vale_link() {
  unetmap=$(program unetmap)
  local link=$LINK
  if [ "$link" = auto ]; then
    if virtio; then
      link=vhost-user
    elif intel && can_vfio_user; then
      link=vfio-user
    # Only a datagram socket survives a restart of the daemon with a QEMU that does not connect again.
    elif at_least 8 0; then link=stream; else link=dgram; fi
    if [ "$DEVICE" = e1000 ] && [ "$link" != vfio-user ]; then
      echo "${0##*/}: QEMU's own e1000, through a socket: this QEMU is older than 10.1.1, or has no vfio-user-pci" >&2
    fi
  fi
  if intel && [ "$link" != vfio-user ]; then own_e1000; fi
  plug=("$unetmap" plug "$SWITCH:$idx" "--$link" "$folder/port")
  case $link in
    vhost-user)
      virtio || fail "LINK=vhost-user serves virtio-net only: set DEVICE=virtio-net-pci, or LINK=auto"
      netdev="vhost-user,id=net0,chardev=port$([ "$QUEUES" -le 1 ] || echo ",queues=$QUEUES")"
      # QEMU leaves a port of fewer pairs, and comes again, for ever.
      if [ "$QUEUES" -gt 1 ]; then plug+=(--rings "$QUEUES"); fi
      shared_memory
      memory+=(-chardev "socket,id=port,path=$(quoted "$folder")/port$(reconnect chardev)")
      # QEMU 7.2 under emulation crashes when the guest's driver asks for MSI-X.
      if [ "$accel" = qemu ] && ! at_least 8 0; then device=${device/,vectors=*/},vectors=0; fi
      ;;
    stream)
      at_least 7 2 || fail "$QEMU is older than 7.2 and cannot connect to Unix sockets; take a newer one"
      netdev="stream,id=net0,server=off,addr.type=unix,addr.path=$(quoted "$folder")/port$(reconnect netdev)"
      ;;
    dgram)
      at_least 7 2 || fail "$QEMU is older than 7.2 and has no datagram sockets; take a newer one"
      plug+=(--remote "$folder/qemu")
      netdev="dgram,id=net0,local.type=unix,local.path=$(quoted "$folder")/qemu,remote.type=unix,remote.path=$(quoted "$folder")/port"
      ;;
    vfio-user) vfio_user_link "$SWITCH:$idx" ;;
  esac
}

# A tap, opened by QEMU; or, for a card of ours, attached to a switch of its own with the card beside it.
tap_link() {
  if [ "$LINK" = vfio-user ] || { [ "$LINK" = auto ] && intel && can_vfio_user; }; then
    unetmap=$(program unetmap)
    vale_ctl=$(program vale-ctl)
    l2open=$(program l2open)
    attach=valetap$idx:tap$idx
    vfio_user_link "valetap$idx:card"
    return
  fi
  if intel; then own_e1000; fi
  netdev="tap,id=net0,ifname=tap$idx,script=no,downscript=no"
  if virtio; then
    netdev+=",vhost=$VHOST"
    if [ "$QUEUES" -gt 1 ]; then netdev+=",queues=$QUEUES"; fi
  fi
}

# A path in an option of QEMU's.
quoted() { printf %s "${1//,/,,}"; }

folder=$(mktemp -d "${TMPDIR:-/tmp}/launch-qemu.XXXXXX") || fail "no folder can be made in ${TMPDIR:-/tmp}: say in TMPDIR where to"
if [ "$accel" = kvm ]; then
  [ -n "$dry_run" ] || need_kvm
  acceleration=(-accel kvm -cpu host)
else
  acceleration=(-accel tcg)
fi
plug=()
attach=
address=10.0.0.$number
case $backend in
  tap) mac=52:54:00:00:01 ;;
  netuser) mac=52:54:00:00:02 address=10.0.2.15 ;;
  vale) mac=52:54:00:00:03 ;;
esac
[ -n "$MAC" ] || MAC=$mac:$(printf %02x $((number % 256)))
case $backend in
  tap)
    [ -n "$dry_run" ] || [ -e "/sys/class/net/tap$idx" ] || ip link show "tap$idx" >/dev/null 2>&1 ||
      fail "there is no tap$idx: run prep-taps.sh first, as root"
    tap_link
    ;;
  netuser)
    if intel; then own_e1000; fi
    netdev=user,id=net0
    ;;
  vale) vale_link ;;
esac
if [ -n "$netdev" ]; then device+=,mac=$MAC; fi

# --- what boots ---

if [ -n "$IMAGE" ]; then
  [ -f "$IMAGE" ] || [ -b "$IMAGE" ] || fail "IMAGE=$IMAGE: no such file or disk"
  [[ $DISK =~ ^(ide|virtio)$ ]] || fail "DISK=$DISK is neither ide nor virtio"
  boot=(-drive "file=$(quoted "$IMAGE"),if=$DISK,format=$([[ $IMAGE == *.qcow2 ]] && echo qcow2 || echo raw)")
else
  # A guest that is ready, as the bootable image has one; other programs or another kernel have to be put together first.
  share=$(dirname "$(program unetmap 2>/dev/null)")/../share/unetmap
  if [ -z "$BIN$KERNEL" ] && [ -f "$share/guest/initramfs" ] && [ -f "$share/guest/vmlinuz" ]; then
    made=$share/guest/vmlinuz$'\n'$share/guest/initramfs
  else
    maker=$here/../vm/make-guest.py
    [ -x "$maker" ] || maker=$share/vm/make-guest.py
    [ -x "$maker" ] || fail "make-guest.py is missing; say in IMAGE what to boot"
    made=$("$maker" ${BIN:+--bin "$BIN"} ${KERNEL:+--release "$KERNEL"}) || fail "there is no guest to boot; say in IMAGE what to boot"
  fi
  boot=(-kernel "${made%%$'\n'*}" -initrd "${made##*$'\n'}" -append
    "console=ttyS0 quiet net.ifnames=0 panic=1 mitigations=off no_timer_check cryptomgr.notests unetmap.name=vm$idx unetmap.ip=$address/24${APPEND:+ $APPEND}")
fi

read -ra extra -d '' <<<"$EXTRA" || true # of several lines, too
command=("$QEMU" -nodefaults -no-user-config -machine "$MACHINE" "${acceleration[@]}" -m "$MEMORY" -smp "$CPUS" "${memory[@]}"
  "${boot[@]}" ${netdev:+-netdev "$netdev"} -device "$device" "${stay[@]}" -display none -serial "$CONSOLE" "${extra[@]}")

if [ -n "$dry_run" ]; then
  if [ -n "$attach" ]; then echo "${vale_ctl@Q} '-h' '$attach'"; fi
  if [ ${#plug[@]} -gt 0 ]; then echo "${plug[*]@Q}"; fi
  echo "${command[*]@Q}"
  exit 0
fi

if [ -n "$attach" ]; then
  # Frames go in and out on the bridge's side. A tap that nobody has open has no carrier, and the bridge leaves it alone.
  "$l2open" -t "tap$idx" sleep infinity &
  children+=("$!")
  "$vale_ctl" -h "$attach" >/dev/null || fail "tap$idx cannot be attached to ${attach%:*}; are you root?"
  attached=$attach
fi
if [ ${#plug[@]} -gt 0 ]; then
  "${plug[@]}" >/dev/null || fail "${plug[2]} cannot be plugged"
  port=${plug[2]}
fi
# In the background, with the terminal as its input, so that a signal for this script reaches it.
"${command[@]}" <&0 &
children+=("$!")
status=0
wait "$!" || status=$?
unset 'children[-1]'
exit "$status"
