# SPDX-License-Identifier: BSD-2-Clause
"""DPDK's testpmd as a switch between two memif ports: io forwarding on a CPU of its own, both clients on the other one."""
import os
import shutil
from contextlib import ExitStack

from harness.children import Children, Failed, Skipped
from harness.network import Counters, need_command, need_program, need_root, run, sample_pair

CLIENT_MIB, SWITCH_MIB = 256, 192
PAGE_MIB = 2
# What the three ask for, and some for the allocator's rounding.
HUGE_PAGES = (2 * CLIENT_MIB + SWITCH_MIB + 192) // PAGE_MIB
HUGE_FOLDER = "/sys/kernel/mm/hugepages/hugepages-2048kB"
RING_LOG2 = 10
# Half a ring: the sender shares its CPU with the receiver and would otherwise outrun it. 64 to 1024 were tried, 512 was best.
YIELD_EVERY = 512
READY_LINE = "io packet forwarding"


def _read_number(name):
    with open(os.path.join(HUGE_FOLDER, name), encoding="ascii") as file:
        return int(file.read())


def _set_total(pages):
    with open(os.path.join(HUGE_FOLDER, "nr_hugepages"), "w", encoding="ascii") as file:
        file.write(str(pages))


def huge_pages(bench, needed=HUGE_PAGES):
    """A hugetlbfs mount with enough free pages; made once a run, restored with everything else at its end."""
    if bench.huge_folder and _read_number("free_hugepages") >= needed:
        return bench.huge_folder
    if not os.path.isdir(HUGE_FOLDER):
        raise Skipped("DPDK: this kernel has no huge pages of 2 MiB")
    total, missing = _read_number("nr_hugepages"), needed - _read_number("free_hugepages")
    if missing > 0:
        bench.undo.callback(_set_total, total)
        _set_total(total + missing)
        if _read_number("free_hugepages") < needed:
            raise Skipped(f"DPDK: only {_read_number('free_hugepages')} of {needed} huge pages of 2 MiB could be "
                          "reserved; free some memory or reserve them at boot")
    if bench.huge_folder:
        return bench.huge_folder
    folder = os.path.join(bench.folder, "huge")
    os.makedirs(folder, exist_ok=True)
    try:
        run(["mount", "-t", "hugetlbfs", "-o", "pagesize=2M", "none", folder])
    except Failed as reason:
        raise Skipped(f"DPDK: hugetlbfs cannot be mounted here: {reason}") from None
    bench.undo.callback(run, ["umount", folder], False)
    bench.huge_folder = folder
    return folder


def testpmd_memif(bench, length):
    need_root("DPDK")
    testpmd, client = need_command("dpdk-testpmd"), need_program(bench, "dpdk-client")
    folder = huge_pages(bench)
    forwarder, clients = bench.cpus[1], bench.cpus[0]
    sockets = [os.path.join(bench.folder, f"memif{number}.sock") for number in range(2)]

    def environment(part, mebibytes, lcores, vdevs):
        prefix = f"{bench.prefix}-{part}"
        undo.callback(shutil.rmtree, f"/var/run/dpdk/{prefix}", True)
        return ["--no-pci", f"--huge-dir={folder}", f"--file-prefix={prefix}", "-m", str(mebibytes), "--single-file-segments",
                "--log-level=4", *lcores, *(f"--vdev={vdev}" for vdev in vdevs)]

    def memif(number, role, socket):
        zero_copy = ",zero-copy=yes" if role == "client" else ""
        return (f"net_memif{number},role={role},id=0,socket={socket},socket-abstract=no,rsize={RING_LOG2},bsize=2048"
                f"{zero_copy}")

    with ExitStack() as undo:
        children = undo.enter_context(Children())
        # Its forwarding thread takes the whole CPU; the main thread, on the other one, waits for commands that never come.
        switch = children.start(
            [testpmd, *environment("switch", SWITCH_MIB, ["-l", f"{clients},{forwarder}", f"--main-lcore={clients}"],
                                   [memif(number, "server", path) for number, path in enumerate(sockets)]),
             "--", "--forward-mode=io", "--nb-cores=1", "--total-num-mbufs=16384", "--rxd=1024", "--txd=1024",
             "--no-flush-rx", "--no-lsc-interrupt", "--burst=64"], interactive=True)
        switch.wait_for_line(READY_LINE, 30)

        received, sent = Counters(bench, "received"), Counters(bench, "sent")

        def start(mode, counters, path):
            lcore = ["-l", str(clients)]
            return children.start([client, *environment(mode, CLIENT_MIB, lcore, [memif(0, "client", path)]), "--", mode,
                                   length, counters.path, YIELD_EVERY], own_session=False)

        receiver = start("rx", received, sockets[1])
        start("tx", sent, sockets[0])
        return sample_pair(bench, children, receiver, received, sent)
