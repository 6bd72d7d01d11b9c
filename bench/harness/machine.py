# SPDX-License-Identifier: BSD-2-Clause
"""What the machine is and what it was doing: facts for the report, CPU time of processes, steal, cache-line round trip."""
import glob
import os
import platform
import subprocess

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PREEMPTED_NS = 5000


def read(path, default=""):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return default


def choose_cpus():
    """Two CPUs this process may use, on different cores where the machine tells; or one if there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    siblings = read(f"/sys/devices/system/cpu/cpu{usable[0]}/topology/thread_siblings_list").strip()
    same_core = set()
    for part in filter(None, siblings.split(",")):
        low, _, high = part.partition("-")
        same_core.update(range(int(low), int(high or low) + 1))
    others = [cpu for cpu in usable[1:] if cpu not in same_core] or usable[1:]
    return [usable[0]] + others[:1]


def facts():
    """What a reader needs to judge the figures by."""
    cpuinfo = read("/proc/cpuinfo")
    model = next((line.split(":", 1)[1].strip() for line in cpuinfo.splitlines() if line.startswith("model name")), "unknown")
    memory = next((line.split()[1] for line in read("/proc/meminfo").splitlines() if line.startswith("MemTotal")), "0")
    return {
        "cpu": model,
        "cpus_usable": len(os.sched_getaffinity(0)),
        "virtual": " hypervisor" in cpuinfo,
        "memory_mib": int(memory) // 1024,
        "kernel": platform.release(),
        "load_average_at_start": os.getloadavg()[0],
        "transparent_huge_pages_shmem": read("/sys/kernel/mm/transparent_hugepage/shmem_enabled").strip(),
    }


def cpu_ns(pid):
    """CPU nanoseconds that all threads of a process have used: exact, not sampled at ticks."""
    total = 0
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        total += int((read(path) or "0").split()[0])
    return total


def softirq_threads():
    """Kernel threads that move packets on behalf of the peers that live in the kernel."""
    return [int(path.split("/")[2]) for path in glob.glob("/proc/[0-9]*/comm") if read(path).startswith("ksoftirqd/")]


def children(pid):
    """Processes that a process has started."""
    return [int(child) for path in glob.glob(f"/proc/{pid}/task/*/children") for child in read(path).split()]


def wake_ups(pid):
    """How often the threads of a process have gone to sleep or been preempted, in total since they began."""
    total = 0
    for path in glob.glob(f"/proc/{pid}/task/*/status"):
        for line in read(path).splitlines():
            if "ctxt_switches" in line:
                total += int(line.split()[1])
    return total


def steal_seconds():
    """Time the host gave to others while this machine's CPUs wanted to run, all CPUs together."""
    return int(read("/proc/stat").split("\n", 1)[0].split()[8]) / TICKS_PER_SECOND


def busy_seconds():
    """Time all CPUs were not idle, sampled at ticks."""
    ticks = [int(field) for field in read("/proc/stat").split("\n", 1)[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / TICKS_PER_SECOND


def cache_line_ns(program, cpus):
    """Round trip of a cache line between two CPUs, by bench-c2c. None where it cannot be had, as when other programs keep
    the CPUs: it is a witness, no result."""
    try:
        done = subprocess.run([program, str(cpus[0]), str(cpus[1])], capture_output=True, text=True, check=True, timeout=30)
        round_trip = float(done.stdout)
        return round_trip if round_trip < PREEMPTED_NS else None
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
