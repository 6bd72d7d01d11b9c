# SPDX-License-Identifier: BSD-2-Clause
"""What all tests with guests share: where things are, a network of the test's own, a daemon of its own, and the clean end."""
import contextlib
import ctypes
import os
import re
import select
import shutil
import signal
import sys
import tempfile
import unittest

SOURCE = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../.."))
sys.path.insert(0, os.path.join(SOURCE, "vm"))
from guestimage.image import KERNEL_RELEASE, make_image, tool_command  # noqa: E402
from guestimage.packages import Unavailable, locked, mirror, unpacked  # noqa: E402
from guestimage.qemu import newer_qemu  # noqa: E402
from guestlib.guest import Guest  # noqa: E402
from guestlib.processes import EVENT_LIMIT_S, Failed, Program, call, wait_until  # noqa: E402

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def skip(why):
    print(f"SKIP: {why}")
    sys.exit(77)


def own_network():
    """This process and its children in a network namespace without a name: it goes with the last of them. Nothing can be fetched
    from there: first all that is required."""
    if os.geteuid() != 0:
        skip("needs root: taps and a network namespace of its own")
    if _libc.unshare(CLONE_NEWNET) != 0:
        skip(f"no network namespace: {os.strerror(ctypes.get_errno())}")
    call(["ip", "link", "set", "lo", "up"])


def guest_cache():
    return os.path.abspath(os.environ.get("UNETMAP_GUEST_CACHE") or os.path.join(build_folder(), "guest"))


class Rig:
    """Guests and programs of one test. A context: leaving it ends them all, and removes the folder."""

    def __init__(self, qemu=None):
        self.build = build_folder()
        self.bin = os.path.join(self.build, "bin")
        self.launch_script = os.path.join(SOURCE, "scripts/launch-qemu.sh")
        self._undo = contextlib.ExitStack()
        self.folder = tempfile.mkdtemp(prefix="unetmap-guest-")
        self._undo.callback(shutil.rmtree, self.folder, True)
        self._undo.callback(self._end_daemon)
        self.environment = {
            "UNETMAP_SOCKET": os.path.join(self.folder, "socket"), "UNETMAPD": os.path.join(self.bin, "unetmapd"), "BIN": self.bin,
            "UNETMAP_GUEST_CACHE": guest_cache(), "UNETMAP_GUEST_UNPACKED": "1", "UNETMAP_IDLE_EXIT": "1", "TMPDIR": self.folder,
            "PATH": f"{self.bin}:{os.environ['PATH']}:/usr/sbin:/sbin", "QEMU": qemu or os.environ.get("QEMU", "qemu-system-x86_64")}
        self.guests = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._undo.close()

    def _end_daemon(self):
        """What a test left plugged in, attached or set would keep it for ever."""
        told = self.call("unetmap", "daemon", "--json", check=False)
        if found := re.search(r'"pid": *(\d+)', told):
            with contextlib.suppress(ProcessLookupError):
                ended = os.pidfd_open(int(found[1]))
                try:
                    os.kill(int(found[1]), signal.SIGTERM)
                    select.select([ended], [], [], EVENT_LIMIT_S)
                finally:
                    os.close(ended)

    def boot(self, guests, variables=None, ready=True, prefix=()):
        """Starts guests {name: arguments} together, each with its {name: variables}, and waits for all. `prefix` starts what
        follows it in its own place."""
        started = []
        for name, arguments in guests.items():
            guest = self.guests[name] = Guest(self, name, arguments.split(), (variables or {}).get(name), prefix)
            self._undo.callback(guest.stop)
            started.append(guest)
        return [guest.wait_ready() for guest in started] if ready else started

    def prepare_taps(self):
        """tap01 and tap02 on br0, 10.0.0.200/24."""
        self.call(os.path.join(SOURCE, "scripts/prep-taps.sh"))

    def start(self, *command):
        """A program on the host, in the background."""
        program = Program(self._found(command), self.environment)
        self._undo.callback(program.stop)
        return program

    def call(self, *command, check=True, timeout_s=60):
        """A program on the host, to its end."""
        return call(self._found(command), self.environment, timeout_s, check)

    def _found(self, command):
        # Popen looks in the PATH of this process.
        return [shutil.which(str(command[0]), path=self.environment["PATH"]) or command[0], *command[1:]]

    def start_tool(self, name, *arguments):
        """netserver, netperf or iperf3 on the host: the guests' own, as hosts of Debian 12 have no package of netperf."""
        return self.start(*tool_command(guest_cache(), name), *arguments)

    def has(self, program):
        return shutil.which(program, path=self.environment["PATH"]) is not None


def build_folder():
    return os.path.abspath(os.environ.get("BUILD_DIR") or os.path.join(SOURCE, "build"))


def require(*programs, kernels=(KERNEL_RELEASE,)):
    """Skips the test where something is missing that it needs; fetches and makes the guest's images, with the kernels of these
    releases."""
    build = build_folder()
    for program in programs:
        if not os.access(os.path.join(build, "bin", program), os.X_OK):
            skip(f"{program} is not built in {build}")
    if not shutil.which(os.environ.get("QEMU", "qemu-system-x86_64")):
        skip("qemu-system-x86_64 is missing: install qemu-system-x86")
    try:
        for release in kernels:
            make_image(guest_cache(), os.path.join(build, "bin"), release)
    except Unavailable as reason:
        skip(f"no guest can be made: {reason}")


def kernel_release(usual=KERNEL_RELEASE):
    """The Debian release whose kernel a guest boots: UNETMAP_GUEST_KERNEL names another than the usual one."""
    return os.environ.get("UNETMAP_GUEST_KERNEL", usual)


def require_newer_qemu():
    """Its path; skips the test where it cannot be fetched."""
    try:
        return newer_qemu(guest_cache())
    except Unavailable as reason:
        return skip(f"no newer QEMU: {reason}")


def main():
    """Runs the tests of the calling program. The first argument may be the build folder."""
    if len(sys.argv) > 1 and os.path.isdir(sys.argv[1]):
        os.environ["BUILD_DIR"] = sys.argv.pop(1)
    # Unwinds, so that folders go too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    unittest.main(verbosity=2)


__all__ = ["Failed", "guest_cache", "Rig", "SOURCE", "call", "main", "make_image", "own_network", "require", "require_newer_qemu", "skip", "wait_until"]
