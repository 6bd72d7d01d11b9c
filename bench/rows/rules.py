# SPDX-License-Identifier: BSD-2-Clause
"""What VLANs and access lists cost: the one-core pair with and without."""
from harness.measure import Check, Group, Row
from rows import pktgen

SMALL = 60
TX, RX = "vale0:tx", "vale0:rx"
ACCESS = [(TX, "vlan", "access", "10"), (RX, "vlan", "access", "10")]
TAGS = [(TX, "vlan", "access", "10"), (RX, "vlan", "trunk", "10,20")]
LIST = [(TX, "acl_in", "deny udp src port 67; deny ip6; allow ip")]


def _set(bench, settings):
    for words in settings:
        bench.run_tool("unetmap", "set", *words)


def _pair(bench, settings):
    """Settings of ports that are not there yet hold from their first packet on."""
    cpu = bench.cpus[0]
    _set(bench, settings)
    try:
        return pktgen.pair(bench, SMALL, cpu, cpu, True)
    finally:
        # Those of ports that never came would wait for the next row's.
        _set(bench, [(port, name, "off") for port, name, *_ in settings])


def rules(bench):
    rows = [Row("off", "Mpps", lambda b: _pair(b, [])), Row("access ports", "Mpps", lambda b: _pair(b, ACCESS)),
            Row("access to trunk", "Mpps", lambda b: _pair(b, TAGS)), Row("access list", "Mpps", lambda b: _pair(b, LIST))]
    checks = [Check(row.name, "off", ">=", 0.85, "of a switch without rules") for row in rows[1:]]
    return Group("rules", "VLANs and access lists, 60 bytes, one core, lossless", rows, checks)


GROUPS = {"rules": rules}
