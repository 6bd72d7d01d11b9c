#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# The first process of a User Mode Linux guest whose root is the host's, read-only: loads the network driver, and
# exchanges datagrams with the other guest, twice, with its driver unbound and bound in between.
# Kernel parameters: own=1 peer=2 modules=FOLDER
import ctypes
import os
import socket
import subprocess
import time

libc = ctypes.CDLL(None, use_errno=True)
ROUNDS, DATAGRAMS, PORT, PATIENCE_S, SILENCE_S = 2, 50, 9000, 120, 2
FINIT_MODULE = {"x86_64": 313}
POWER_OFF = 0x4321FEDC
DRIVER = "/sys/bus/virtio/drivers/virtio_net"


def checked(result, what):
    if result < 0:
        raise OSError(ctypes.get_errno(), what + ": " + os.strerror(ctypes.get_errno()))


def mount(kind, where):
    checked(libc.mount(kind.encode(), where.encode(), kind.encode(), 0, None), "mount " + where)


def load(path):
    with open(path, "rb") as module:
        checked(libc.syscall(FINIT_MODULE[os.uname().machine], module.fileno(), b"", 0), path)


def set_up(own):
    for arguments in (["link", "set", "eth0", "up"], ["address", "add", "10.9.0.%d/24" % own, "dev", "eth0"]):
        subprocess.run(["ip", *arguments], check=True)


# Each sends until the other has said that it has all: what is lost on the way is sent again.
def exchange(own, peer, number):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("10.9.0.%d" % own, PORT + number))
    sock.settimeout(0.2)
    got, peer_has_all, end = set(), False, time.monotonic() + PATIENCE_S
    while len(got) < DATAGRAMS or not peer_has_all:
        if time.monotonic() > end:
            raise TimeoutError("round %d: %d datagrams of %d, the other has all: %s" %
                               (number, len(got), DATAGRAMS, peer_has_all))
        done = b"all" if len(got) == DATAGRAMS else b"..."
        for i in range(DATAGRAMS):
            try:
                sock.sendto(b"%d %s " % (i, done) + bytes(i * 28), ("10.9.0.%d" % peer, PORT + number))
            except OSError:
                break
        while True:
            try:
                text, state, rest = sock.recv(4096).split(b" ", 2)
            except OSError:
                break
            if rest == bytes(int(text) * 28):
                got.add(int(text))
            peer_has_all = peer_has_all or state != b"..."
    # The other may not have heard so: it is told whenever it still sends, until it is silent.
    sock.settimeout(SILENCE_S)
    try:
        while True:
            if sock.recv(4096).split(b" ", 2)[1] != b"end":
                sock.sendto(b"0 end ", ("10.9.0.%d" % peer, PORT + number))
    except OSError:
        pass
    print("round %d: all" % number, flush=True)


def main():
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    mount("proc", "/proc")
    mount("sysfs", "/sys")
    parameters = dict(word.split("=", 1) for word in open("/proc/cmdline").read().split() if "=" in word)
    own, peer = int(parameters["own"]), int(parameters["peer"])
    for module in ("net/core/failover", "drivers/net/net_failover", "drivers/net/virtio_net"):
        load(parameters["modules"] + "/" + module + ".ko")
    for number in range(ROUNDS):
        if number:
            for what in ("unbind", "bind"):
                with open(DRIVER + "/" + what, "w") as file:
                    file.write("virtio0")
        set_up(own)
        exchange(own, peer, number)
    print("guest %d: good" % own, flush=True)


try:
    main()
except Exception as error:  # pylint: disable=broad-except
    print("guest: failed:", repr(error), flush=True)
finally:
    libc.reboot(POWER_OFF)
