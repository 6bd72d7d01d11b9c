# SPDX-License-Identifier: BSD-2-Clause
"""A guest, and commands in it."""
import contextlib
import json
import os
import socket
import threading

from guestlib.processes import EVENT_LIMIT_S, Failed, Lines, Program, wait_until

# Boots take 4 to 9 s; on a machine that does other things too, longer.
BOOT_LIMIT_S = 300


class Job:
    """A command that runs in a guest."""

    def __init__(self, guest, number, command):
        self._guest, self._number, self._command = guest, number, command
        self.lines, self.status = Lines(), None
        self.begun = b""  # of a long line, whose end is still to come

    def _what(self):
        return f"{self._guest.name}: {self._command}"

    def wait_line(self, pattern, timeout_s=EVENT_LIMIT_S):
        return self.lines.wait(pattern, self._what(), timeout_s)

    def finish(self, timeout_s=EVENT_LIMIT_S, statuses=(0,)):
        """Its output. A status that is not expected is a failure; None expects any."""
        self.lines.wait_closed(self._what(), timeout_s)
        # The agent ends a last line even where the program has done so.
        text = self.lines.text().removesuffix("\n")
        if statuses is not None and self.status not in statuses:
            raise Failed(f"{self._what()}: status {self.status}; it said:\n{text}")
        return text

    def signal(self, name):
        self._guest.send(f"kill {self._number} {name}")

    def interrupt(self, timeout_s=EVENT_LIMIT_S):
        """Ctrl-C, and what it said until its end."""
        self.signal("INT")
        return self.finish(timeout_s, statuses=None)


class Guest:
    """A machine started by launch-qemu.sh with `arguments`; `variables` are those at the head of that script."""

    def __init__(self, rig, name, arguments, variables=None, prefix=()):
        self.name = name
        self._folder = os.path.join(rig.folder, name)
        os.mkdir(self._folder)
        self._console = os.path.join(self._folder, "console")
        agent, monitor = os.path.join(self._folder, "agent"), os.path.join(self._folder, "qmp")
        variables = dict(variables or {})
        extra = (f"-chardev socket,id=agent,path={agent},server=on,wait=off -serial chardev:agent "
                 f"-qmp unix:{monitor},server=on,wait=off -pidfile {self._folder}/pid")
        variables["EXTRA"] = f"{variables.get('EXTRA', '')} {extra}".strip()
        variables["CONSOLE"] = f"file:{self._console}"
        variables["APPEND"] = f"{variables.get('APPEND', '')} unetmap.agent=ttyS1".strip()
        variables.setdefault("MEMORY", "256M")
        self.program = Program([*prefix, rig.launch_script, *arguments], {**rig.environment, **variables})
        self._jobs, self._lock, self._ready = {}, threading.Lock(), Lines()
        self._agent = self._connect(agent)
        self._monitor_path, self._monitor = monitor, None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _connect(self, path):
        connection = socket.socket(socket.AF_UNIX)

        def connected():
            if not self.program.running():
                raise Failed(f"{self.name}: launch-qemu.sh ended: {self.program.finish(statuses=None)}")
            return connection.connect_ex(path) == 0

        wait_until(connected, f"{self.name}: QEMU's socket {path}")
        return connection

    def _read(self):
        # Lines may come in pieces, cut inside a character.
        with contextlib.suppress(OSError), self._agent.makefile("rb") as stream:
            for line in stream:
                verb, _, rest = line.rstrip(b"\r\n").partition(b" ")
                if verb == b"ready":
                    self._ready.add("ready")
                number, _, text = rest.partition(b" ")
                job = self._jobs.get(number.decode(errors="replace"))
                if job and verb == b"part":
                    job.begun += text
                elif job and verb == b"out":
                    job.lines.add((job.begun + text).decode(errors="replace"))
                    job.begun = b""
                elif job and verb == b"end":
                    job.status = int(text)
                    job.lines.close()
        self._ready.close()
        for job in list(self._jobs.values()):
            job.lines.close()

    def console(self):
        try:
            with open(self._console, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def wait_ready(self, boots=1, timeout_s=BOOT_LIMIT_S):
        """Until it has booted so many times, and takes commands."""
        try:
            self._ready.wait_count(boots, f"{self.name}: boot", timeout_s)
        except Failed as reason:
            raise Failed(f"{reason}\nlaunch-qemu.sh said: {self.program.lines.text()}\non the console:\n{self.console()[-3000:]}") from None
        return self

    def boots(self):
        """How often it has booted so far."""
        return len(self._ready.text().splitlines())

    def send(self, line):
        if "\n" in line:
            raise ValueError("one line at a time")
        self._agent.sendall(line.encode() + b"\n")

    def start(self, command):
        """Begins a command; its Job."""
        with self._lock:
            number = str(len(self._jobs) + 1)
            job = self._jobs[number] = Job(self, number, command)
        self.send(f"run {number} {command}")
        return job

    def run(self, command, timeout_s=EVENT_LIMIT_S, statuses=(0,)):
        """Runs a command to its end; its output."""
        return self.start(command).finish(timeout_s, statuses)

    def kernel_lines(self, pattern):
        """What its kernel has said in which `pattern`, of grep -E, is found. It is looked for there, as all of it is long."""
        return self.run(f"dmesg >/tmp/kernel-lines || exit 2; grep -E '{pattern}' /tmp/kernel-lines", statuses=(0, 1))

    @property
    def qemu_pid(self):
        with open(os.path.join(self._folder, "pid"), encoding="ascii") as file:
            return int(file.read())

    def qmp(self, command, **arguments):
        """One command to QEMU's monitor; what it returns."""
        if self._monitor is None:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(EVENT_LIMIT_S)
            connection.connect(self._monitor_path)
            self._monitor = connection.makefile("rw", encoding="utf-8")
            connection.close()
            self._monitor.readline()  # its greeting
            self.qmp("qmp_capabilities")
        json.dump({"execute": command, "arguments": arguments}, self._monitor)
        self._monitor.write("\n")
        self._monitor.flush()
        while True:
            line = self._monitor.readline()
            if not line:
                raise Failed(f"{self.name}: QEMU's monitor closed")
            answer = json.loads(line)
            if "error" in answer:
                raise Failed(f"{self.name}: QEMU: {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def migrate(self, target, path, timeout_s=EVENT_LIMIT_S):
        """Moves what runs here to `target`, which waits for it at the socket `path`. Commands under way go on there."""
        self.qmp("migrate-set-parameters", **{"max-bandwidth": 1 << 30, "downtime-limit": 500})
        wait_until(lambda: os.path.exists(path), f"{target.name}: QEMU's socket {path}")
        self.qmp("migrate", uri=f"unix:{path}")

        def moved():
            state = self.qmp("query-migrate")
            if state.get("status") in ("failed", "cancelled"):
                raise Failed(f"{self.name}: migration {state['status']}: {state.get('error-desc', 'no reason given')}")
            return state.get("status") == "completed"

        wait_until(moved, f"{self.name}: migration", timeout_s)
        target._jobs.update(self._jobs)
        self._jobs.clear()

    def stop(self):
        self.program.stop()
        self._agent.close()
        if self._monitor is not None:
            self._monitor.close()
