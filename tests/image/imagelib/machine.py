# SPDX-License-Identifier: BSD-2-Clause
"""An emulated PC with the image as its disk: the menu and a shell by the serial line, screenshots and keys by QEMU's monitor."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

OVMF = ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_CODE.fd")
MENU = ("Boot unetmap (X11)", "Boot unetmap (X11), wait for slow devices", "Boot unetmap (command line only)",
        "Boot unetmap (command line only), wait for slow devices")
# Generous: emulation on a machine that does other things too.
BOOT_LIMIT_S = 600
# Where others take the processor, limits are of the seconds that the machine had of it, and this many times as long on the clock: a machine
# that stands still uses none.
PATIENCE = 10
ONE_CARD = ("-netdev", "user,id=net0,restrict=on", "-device", "e1000,netdev=net0")
_ESCAPES = re.compile(r"\x1b(\[[0-9;?=]*[A-Za-z]|[()][A-Z0-9]|[=>78cDM]|\][^\x07]*\x07)|\x1bP[^\x1b]*\x1b\\")
DISKS = {
    "ide": ["-drive", "file={image},format=raw,if=ide,snapshot=on"],
    "virtio": ["-drive", "file={image},format=raw,if=virtio,snapshot=on"],
    "usb": ["-device", "qemu-xhci,id=usb", "-drive", "file={image},format=raw,if=none,id=stick,snapshot=on",
            "-device", "usb-storage,id=plugged,bus=usb.0,drive=stick,removable=on"],
    # USB 2, as in PCs before about 2012.
    "usb2": ["-device", "usb-ehci,id=usb", "-drive", "file={image},format=raw,if=none,id=stick,snapshot=on",
             "-device", "usb-storage,id=plugged,bus=usb.0,drive=stick,removable=on"],
    "cd": ["-drive", "file={image},format=raw,if=ide,media=cdrom,readonly=on"],
    # Written to: the caller's own copy.
    "writable": ["-drive", "file={image},format=raw,if=virtio"],
    # A stick or card with its switch on "lock".
    "read-only": ["-drive", "file={image},format=raw,if=virtio,readonly=on"],
}


class Failed(AssertionError):
    """What was expected did not come; the text says what was seen instead."""


def raw_end(text, mark, length):
    """The place in `text` where from `mark` on so many characters have passed that belong to no escape sequence."""
    for escape in _ESCAPES.finditer(text, mark):
        if escape.start() - mark >= length:
            break
        length -= escape.start() - mark
        mark = escape.end()
    return mark + length


def firmware(kind):
    if kind == "bios":
        return []
    for path in OVMF:
        if os.path.exists(path):
            return ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={path}"]
    raise FileNotFoundError("OVMF is missing: install ovmf")


class Machine:
    def __init__(self, image, kind="bios", disk="ide", memory="1024M", network=ONE_CARD, video="VGA", cpus=1, extra=()):
        self.folder = tempfile.mkdtemp(prefix="unetmap-image-")
        self._text, self._changed, self._closed, self._mark = "", threading.Condition(), False, 0
        serial, monitor = (os.path.join(self.folder, name) for name in ("serial", "monitor"))
        command = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-accel", "tcg", "-m", memory, "-smp", str(cpus), "-display", "none", *firmware(kind),
                   *(word.format(image=image) for word in DISKS[disk]), *network, *(["-device", video] if video else []),
                   "-device", "virtio-rng-pci", "-chardev", f"socket,id=serial,path={serial},server=on,wait=off", "-serial", "chardev:serial",
                   "-qmp", f"unix:{monitor},server=on,wait=off", *extra]
        self._log = open(os.path.join(self.folder, "qemu.log"), "w+", encoding="utf-8")
        self.begin = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        self._sockets, self._monitor, self._reader = [], None, None
        try:
            self._serial = self._connect(serial)
            self._monitor = self._connect(monitor).makefile("rw", encoding="utf-8")
            self._answer()
            self.qmp("qmp_capabilities")
        except BaseException:
            self.stop()
            raise
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _connect(self, path):
        deadline = time.monotonic() + 60
        while True:
            connection = socket.socket(socket.AF_UNIX)
            if connection.connect_ex(path) == 0:
                self._sockets.append(connection)
                return connection
            connection.close()
            if self.process.poll() is not None or time.monotonic() > deadline:
                self._log.seek(0)
                raise Failed(f"QEMU does not start: {self._log.read()}")
            time.sleep(0.05)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self._reader is not None:
            self._reader.join(10)
        for connection in (*([self._monitor] if self._monitor else []), *self._sockets):
            connection.close()
        self._log.close()
        shutil.rmtree(self.folder, True)

    # --- the monitor ---

    def _answer(self):
        while True:
            answer = json.loads(self._monitor.readline())
            if "event" not in answer:
                return answer

    def qmp(self, command, **arguments):
        self._monitor.write(json.dumps({"execute": command, **({"arguments": arguments} if arguments else {})}) + "\n")
        self._monitor.flush()
        answer = self._answer()
        if "error" in answer:
            raise Failed(f"{command}: {answer['error']}")
        return answer["return"]

    def screenshot(self, path):
        """A picture of the screen as PNG, or as PPM where this QEMU has no PNG."""
        self.qmp("screendump", filename=os.path.abspath(path), format="png")

    def await_picture(self, limit_s=120):
        """Until something is drawn on the screen. What draws it may run long before that."""
        path = os.path.join(self.folder, "screen.ppm")
        begin = self.cpu_s()
        while True:
            self.qmp("screendump", filename=path, format="ppm")
            with open(path, "rb") as file:
                if len(set(file.read()[64:])) > 1:
                    return
            if self.cpu_s() - begin > limit_s:
                raise Failed("the screen stays black")
            self.run("sleep 2")

    def keys(self, *names):
        """Keys pressed together."""
        self.qmp("send-key", keys=[{"type": "qcode", "data": name} for name in names])

    def type(self, text):
        """Letters and digits on the keyboard, and Enter."""
        for letter in text:
            self.keys(letter)
            time.sleep(0.2)
        self.keys("ret")

    # --- the serial line ---

    def _read(self):
        while True:
            try:
                data = self._serial.recv(65536)
            except ConnectionError:
                data = b""
            with self._changed:
                self._text += data.decode("utf-8", "replace")
                self._closed = not data
                self._changed.notify_all()
            if not data:
                return

    def text(self):
        with self._changed:
            return _ESCAPES.sub("", self._text)

    def _from(self, mark):
        return _ESCAPES.sub("", self._text[mark:])

    def _deadline(self, timeout_s):
        return time.monotonic() + timeout_s, self.cpu_s() + timeout_s / 2, time.monotonic() + timeout_s * PATIENCE

    def _left(self, deadline):
        """Seconds to wait before the next look; 0 or less: it is too late."""
        clock, processor, last = deadline
        now = time.monotonic()
        if now < clock:
            return clock - now
        return min(5, last - now) if self.process.poll() is None and self.cpu_s() < processor else 0

    def expect(self, pattern, what, timeout_s=120):
        """The match of `pattern` in what came since the last match."""
        deadline = self._deadline(timeout_s)
        with self._changed:
            while True:
                seen = self._from(self._mark)
                found = re.search(pattern, seen)
                if found:
                    self._mark = raw_end(self._text, self._mark, found.end())
                    return found
                left = self._left(deadline)
                panic = re.search(r"Kernel panic - .*", seen)
                if self._closed or panic or left <= 0:
                    why = panic[0] if panic else "the machine ended" if self._closed else f"{timeout_s} s passed"
                    raise Failed(f"{what}: {why} without '{pattern}'; the last that came:\n{seen[-2500:]}")
                self._changed.wait(left)

    def send(self, text):
        self._serial.sendall(text.encode())

    def elapsed(self):
        return time.monotonic() - self.begin

    def cpu_s(self):
        """Processor seconds of QEMU until now: what a loaded machine does not change much."""
        with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # --- what people do ---

    def choose(self, entry, countdown=False):
        """An entry of the menu, by its digit: of several keys in a row GRUB loses some on a busy machine. `countdown` waits until GRUB
        chooses the first."""
        self.expect(r"wait for slow devices[\s\S]*command line only", "GRUB's menu", 300)
        self.menu_at = (self.elapsed(), self.cpu_s())
        if not countdown:
            self.send(str(entry + 1))

    def login(self, timeout_s=BOOT_LIMIT_S):
        """Until tc's shell is there."""
        self.expect(r"tc@unetmap:~\$ ", "the prompt of tc", timeout_s)
        self.prompt_at = (self.elapsed(), self.cpu_s())
        self.send("stty -echo cols 200; export PAGER=cat SYSTEMD_PAGER=cat; PS1=; PS2=; set +H; "
                  "bind 'set enable-bracketed-paste off' 2>/dev/null; echo ready-$((1+1))\r")
        self.expect(r"ready-2", "the shell", 120)

    def run(self, command, timeout_s=600, check=True):
        """Output of a command of tc's shell; a status other than 0 is a failure."""
        self.send(f"{{ {command}\n}} 2>&1; echo \"@@$?@@\"\r")
        deadline, mark = self._deadline(timeout_s), self._mark
        with self._changed:
            while True:
                seen = self._from(mark)
                found = re.search(r"@@(\d+)@@", seen)
                if found:
                    self._mark = len(self._text)
                    break
                left = self._left(deadline)
                if self._closed or left <= 0:
                    raise Failed(f"{command}: no end within {timeout_s} s; it said:\n{seen[-2500:]}")
                self._changed.wait(left)
        output = seen[:found.start()].replace("\r", "").strip("\n")
        if check and found[1] != "0":
            raise Failed(f"{command}: status {found[1]}; it said:\n{output}")
        return output

    def background(self, command, log):
        """Starts a command whose output goes into a file of the machine."""
        self.run(f"{{ {command}; }} >{log} 2>&1 & echo $! >{log}.pid")

    def await_file(self, log, pattern, timeout_s=180, pause_s=0.5):
        """Until a line like `pattern` (grep -E) is in a file of the machine, which a program in the background writes."""
        self.run(f"for i in $(seq {int(timeout_s / pause_s)}); do grep -qaE '{pattern}' {log} && break; kill -0 $(cat {log}.pid) || break; "
                 f"sleep {pause_s}; done; grep -aE '{pattern}' {log} || {{ tail -n 20 {log}; false; }}", timeout_s * 3 + 60)

    def interrupt(self, log):
        """Ctrl-C for what runs in the background, and what it said. It is a process group of its own, perhaps of root."""
        return self.run(f"sudo kill -INT -- -$(cat {log}.pid); wait $(cat {log}.pid) 2>/dev/null; cat {log}", 180, check=False)
