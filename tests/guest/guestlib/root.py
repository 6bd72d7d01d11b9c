# SPDX-License-Identifier: BSD-2-Clause
"""Programs of another release, with all that they look for at fixed places, from unpacked packages."""

# The mounts are the program's own, and go with it.
_ENTER = """set -e
root=$1 folder=$2
shift 2
for each in proc dev sys; do mount --rbind "/$each" "$root/$each"; done
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mkdir -p "$root/tmp/accounts" "$root$folder"
for each in passwd group; do
  [ -e "$root/etc/$each" ] || : >"$root/etc/$each"
  cp "/etc/$each" "$root/tmp/accounts/"
  mount --bind "$root/tmp/accounts/$each" "$root/etc/$each"
done
mount --bind "$folder" "$root$folder"
exec chroot "$root" /usr/bin/env PATH=/usr/bin:/usr/sbin "$@"
"""


def entered(root, folder, command):
    """What runs a command in `root` with this machine's processes, devices and accounts, and `folder`, below /tmp. Takes root."""
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER, "sh", root, folder, *command]
