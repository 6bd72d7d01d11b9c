# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=sh
# Sourced first by scripts that change network interfaces: goes on in network and mount namespaces of the test's own,
# which end with its last program, however that ends. /sys shows the new interfaces. The script's arguments go along.
if [ "${TEST_NAMESPACE:-}" != own ]; then
  unshare --net --mount true 2>/dev/null || { echo "SKIP: no network namespaces: needs root (CAP_SYS_ADMIN)"; exit 77; }
  command -v ip >/dev/null || { echo "SKIP: ip is not installed (iproute2)"; exit 77; }
  TEST_NAMESPACE=own exec unshare --net --mount --propagation private sh "$0" "$@"
fi
mount -t sysfs sysfs /sys 2>/dev/null || true
ip link set lo up
# No chatter of the kernel's own between frames that are counted.
echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6 2>/dev/null || true
echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6 2>/dev/null || true
