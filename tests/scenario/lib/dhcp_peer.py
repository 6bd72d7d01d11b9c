#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# A machine on a switch, by a stream plug's socket: asks by DHCP for an address, then by ARP for the gateway's.
# usage: dhcp_peer.py SOCKET    prints "ADDRESS GATEWAY GATEWAY-MAC"
import socket
import struct
import sys
import time

MAC = bytes.fromhex("025600000042")
PATIENCE_S, AGAIN_S = 60, 1


class Wire:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(path)

    def send(self, frame):
        frame = frame.ljust(60, b"\0")
        self.sock.sendall(struct.pack(">I", len(frame)) + frame)

    def read(self, count):
        data = b""
        while len(data) < count:
            part = self.sock.recv(count - len(data))
            if not part:
                raise EOFError("the port hung up")
            data += part
        return data

    # The first frame for which `look` gives something, asking again and again.
    def ask(self, frame, look):
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            self.send(frame)
            again = time.monotonic() + AGAIN_S
            while time.monotonic() < again:
                self.sock.settimeout(max(0.01, again - time.monotonic()))
                try:
                    got = look(self.read(struct.unpack(">I", self.read(4))[0]))
                except socket.timeout:
                    break
                if got:
                    return got
        raise TimeoutError("no answer")


def checksum(data):
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def discover():
    bootp = struct.pack(">BBBBIHH", 1, 1, 6, 0, 0x42424242, 0, 0x8000) + bytes(16) + MAC.ljust(16, b"\0") + bytes(192)
    bootp += bytes([99, 130, 83, 99, 53, 1, 1, 55, 2, 1, 3, 255])
    udp = struct.pack(">HHHH", 68, 67, 8 + len(bootp), 0) + bootp
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, bytes(4), b"\xff" * 4)
    head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
    return b"\xff" * 6 + MAC + b"\x08\x00" + head + udp


def offer(frame):
    if frame[12:14] != b"\x08\x00" or frame[23] != 17 or frame[34:38] != struct.pack(">HH", 67, 68):
        return None
    bootp = frame[42:]
    if bootp[4:8] != b"BBBB" or bootp[28:34] != MAC:
        return None
    options, at, router = bootp[240:], 0, None
    while at < len(options) and options[at] != 255:
        if options[at] == 0:
            at += 1
            continue
        if options[at] == 3:
            router = options[at + 2 : at + 6]
        at += 2 + options[at + 1]
    return (bootp[16:20], router) if router else None


def main():
    wire = Wire(sys.argv[1])
    address, router = wire.ask(discover(), offer)
    request = b"\xff" * 6 + MAC + b"\x08\x06" + struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + MAC + address + bytes(6) + router

    def answer(frame):
        return frame[22:28] if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\2" and frame[28:32] == router else None

    mac = wire.ask(request, answer)
    print(".".join(map(str, address)), ".".join(map(str, router)), mac.hex(":"))


main()
