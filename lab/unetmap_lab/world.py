# SPDX-License-Identifier: BSD-2-Clause
"""Makes what a lab file says: a daemon of the lab's own, its nodes, links and captures; and takes it down again."""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from . import processes
from .labfile import Lab, LabError, Link, Node

READY_S = 30.0
BOOT_S = 180.0


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def labs_folder() -> Path:
    base = os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/unetmap-{os.getuid()}"
    return Path(base) / "unetmap-labs"


def check_own(folder: Path) -> None:
    """Who else can write there could have us end other processes, and write other files."""
    # A folder that we were told to take may be a link; others of a known name may have been put there by anybody.
    found = folder.stat() if str(folder) == os.environ.get("XDG_RUNTIME_DIR") else folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise LabError(f"{folder}: is no folder; remove it, or set XDG_RUNTIME_DIR to a folder of yours")
    if found.st_uid not in (os.geteuid(), 0):
        raise LabError(f"{folder}: belongs to user {found.st_uid}; set XDG_RUNTIME_DIR to a folder of yours")
    if found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX:
        raise LabError(f"{folder}: others can write there; chmod go-w it, or set XDG_RUNTIME_DIR to a folder of yours")


def up_from(path: Path) -> str:
    """The name of the lab that was brought up from this file, whatever the file says by now; empty where there is none."""
    for state in labs_folder().glob("*/state.json"):
        try:
            if json.loads(state.read_text())["file"] == str(path.resolve()):
                return state.parent.name
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return ""


def variable(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", name).upper()


class World:
    def __init__(self, lab: Lab, programs: Path) -> None:
        self.lab = lab
        self.programs = programs
        self.folder = labs_folder() / lab.name
        self.socket = self.folder / "socket"
        self.started: list[tuple[int, int]] = []  # processes, with their start times
        self.holders: dict[str, int] = {}
        self.env = {**os.environ, "UNETMAP_SOCKET": str(self.socket), "UNETMAPD": str(programs / "unetmapd"),
                    "PATH": f"{programs}:{os.environ.get('PATH', '')}", "LAB": str(self.folder)}
        self.env.pop("LD_PRELOAD", None)
        self.numbers = {name: number for number, name in enumerate(lab.links)}

    # --- names ---

    def switch(self, link: Link, node: str) -> str:
        """A link with a model is two switches with tlem between them."""
        side = "ab"[link.ends.index(node)] if link.modelled else ""
        return f"vale{self.numbers[link.name]}{side}"

    def interface(self, link: Link, node: str) -> str:
        """Also the name of a persistent port, of which the daemon has one each."""
        return f"{node}.{self.numbers[link.name]}"

    def port(self, link: Link, node: str) -> str:
        kind = self.lab.nodes[node].kind
        if kind == "machine":
            return f"{self.switch(link, node)}:{self.machine_index(node)}"
        return f"{self.switch(link, node)}:{self.interface(link, node)}"

    def machine_index(self, node: str) -> str:
        machines = [each.name for each in self.lab.nodes.values() if each.kind == "machine"]
        return f"{machines.index(node) + 1:02}"

    def links_of(self, node: str) -> list[Link]:
        return [link for link in self.lab.links.values() if node in link.ends]

    def capture_file(self, name: str) -> Path:
        return self.folder / f"{name}.pcapng"

    def env_of(self, node: str = "") -> dict[str, str]:
        out = dict(self.env)
        for name in self.lab.captures:
            out["CAPTURE_" + variable(name)] = str(self.capture_file(name))
        for each in self.lab.nodes.values():
            for link in self.links_of(each.name):
                out[f"PORT_{variable(link.name)}_{variable(each.name)}"] = self.port(link, each.name)
        for link in self.links_of(node) if node else []:
            kind = self.lab.nodes[node].kind
            out[variable(link.name)] = ("eth0" if kind == "machine" else self.interface(link, node)
                                        if kind == "namespace" else self.port(link, node))
        return out

    # --- up ---

    def folders(self) -> list[Path]:
        return [self.folder.parents[1], self.folder.parent, self.folder]

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """While one makes a lab or takes it down, nobody else does."""
        for each in self.folders():
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
            check_own(each)
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LabError(f"lab {self.lab.name}: another unetmap-lab is making it or taking it down; wait for that") from None
            yield
        finally:
            os.close(folder)

    def up(self) -> None:
        if len(str(self.socket)) > 100:
            raise LabError(f"{self.folder}: is too long for a socket's folder; set XDG_RUNTIME_DIR to a shorter one")
        with self.alone():
            if (state := self.state()) is not None:
                raise LabError(f"lab {self.lab.name}: is up already; take it down first: unetmap-lab down {state['file']}")
            self.end_what_is_left()
            for old in self.folder.iterdir():
                if old.is_dir() and not old.is_symlink():
                    shutil.rmtree(old)
                else:
                    old.unlink()
            self.save()
            try:
                self.start_daemon()
                self.apply_settings()
                self.make_namespaces()
                self.make_links()
                self.make_captures()
                self.make_machines()
            except BaseException:
                self.end()
                raise

    def start_daemon(self) -> None:
        ready, told = os.pipe()
        with open(ready, "rb") as listens:
            try:
                self.start([str(self.programs / "unetmapd"), "--foreground", "--ready-fd", str(told)], "daemon", keep=(told,))
            finally:
                os.close(told)
            if not listens.read(1):
                raise LabError(f"lab {self.lab.name}: the daemon does not start: {self.log('daemon')[-400:]}")

    def start(self, command: list[str], log: str, env: dict[str, str] | None = None,
              keep: tuple[int, ...] = ()) -> subprocess.Popen:
        with (self.folder / f"{log}.log").open("wb") as out:
            try:
                process = subprocess.Popen(command, env=env or self.env, stdin=subprocess.DEVNULL, stdout=out,
                                           stderr=subprocess.STDOUT, start_new_session=True, pass_fds=keep)
            except OSError as error:
                raise LabError(f"lab {self.lab.name}: {command[0]}: {error.strerror}; install it") from None
        started = processes.start_time(process.pid)
        if started is not None:
            self.started.append((process.pid, started))
        self.save()
        return process

    def log(self, name: str) -> str:
        try:
            return (self.folder / f"{name}.log").read_text(errors="replace").strip()
        except OSError:
            return ""

    def wait(self, condition, process: subprocess.Popen, what: str, log: str, limit_s: float = READY_S) -> None:
        """For what a program makes, of which there is no event to wait for here."""
        until = time.monotonic() + limit_s
        while not condition():
            if process.poll() is not None:
                raise LabError(f"lab {self.lab.name}: {what}: {self.log(log)[-400:] or f'exit status {process.returncode}'}")
            if time.monotonic() > until:
                raise LabError(f"lab {self.lab.name}: {what} within {limit_s:.0f} s: {self.log(log)[-400:]}")
            time.sleep(0.005)

    def check(self, command: list[str], what: str, env: dict[str, str] | None = None, limit_s: float = READY_S) -> str:
        try:
            done = subprocess.run(command, env=env or self.env, capture_output=True, text=True, timeout=limit_s,
                                  stdin=subprocess.DEVNULL, check=False)
        except subprocess.TimeoutExpired:
            raise LabError(f"{what}: did not end within {limit_s:.0f} s") from None
        except OSError as error:
            raise LabError(f"{what}: {command[0]}: {error.strerror}") from None
        if done.returncode:
            raise LabError(f"{what}: {(done.stderr or done.stdout).strip()[-400:]}")
        return done.stdout

    def apply_settings(self) -> None:
        """Before any port is there: no packet passes without them."""
        for link in self.lab.links.values():
            for node, properties in link.set.items():
                for key, value in properties.items():
                    words = ("on" if value is True else "off" if value is False else
                             "; ".join(value) if isinstance(value, list) else str(value))
                    self.check([str(self.programs / "unetmap"), "set", self.port(link, node), key, words],
                               f"link {link.name}: set {node}")

    def enter(self, node: str) -> list[str]:
        return ["nsenter", "--target", str(self.holders[node]), "--user", "--net", "--preserve-credentials"]

    def make_namespaces(self) -> None:
        """All at once: each takes the kernel and the daemon some milliseconds."""
        nodes = [node for node in self.lab.nodes.values() if node.kind == "namespace"]
        waiting = []
        for node in nodes:
            # Says that it is there, and holds its namespaces until it is ended.
            process = subprocess.Popen(["unshare", "--user", "--map-root-user", "--net", "sh", "-c",
                                        "echo there; exec sleep infinity"], env=self.env, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
            started = processes.start_time(process.pid)
            if started is not None:
                self.started.append((process.pid, started))
            waiting.append((node, process))
        self.save()
        for node, process in waiting:
            if process.stdout.readline() != "there\n":
                raise LabError(f"node {node.name}: no namespaces: {process.stderr.read().strip()}; allow unprivileged user "
                               "namespaces (sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)")
            process.stdout.close()
            process.stderr.close()
            self.holders[node.name] = process.pid
        self.save()
        setups = [(node, subprocess.Popen([*self.enter(node.name), "sh", "-ec", self.setup_script(node)],
                                          env=self.env_of(node.name), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                          stderr=subprocess.PIPE, text=True)) for node in nodes]
        errors = []
        for node, process in setups:
            try:
                _, said = process.communicate(timeout=READY_S)
            except subprocess.TimeoutExpired:
                process.kill()
                said = process.communicate()[1] + f"did not end within {READY_S:.0f} s"
            if process.returncode:
                errors.append(f"node {node.name}: {said.strip()[-400:]}")
        if errors:
            raise LabError("; ".join(errors))

    def setup_script(self, node: Node) -> str:
        lines = ["ip link set lo up"]
        for link in self.links_of(node.name):
            name = self.interface(link, node.name)
            lines.append(f"vale-ctl -n {name} >/dev/null")
            lines += [f"ip address add {each} dev {name}" for each in node.address.get(link.name, [])]
            # Nothing but what the lab sends: no discovery of the kernel's own.
            lines.append(f"if [ -d /proc/sys/net/ipv6/conf/{name} ]; then "
                         f"ip link set dev {name} addrgenmode none 2>/dev/null || true; fi")
            lines.append(f"ip link set dev {name} up")
            lines.append(f"vale-ctl -a {self.port(link, node.name)} >/dev/null")
        return "\n".join(lines + list(node.setup))

    def make_links(self) -> None:
        lines = {}
        for link in self.lab.links.values():
            if not link.modelled:
                continue
            command = [str(self.programs / "tlem"), "-q", "--seed", str(link.seed)]
            for end in link.ends:
                command += ["-i", f"{self.switch(link, end)}:line"]
            if link.jitter:
                delay, jitter = (self.seconds(each) for each in (link.delay, link.jitter))
                command += ["-D", f"uniform,{max(0.0, delay - jitter):.9f}s,{delay + jitter:.9f}s"]
            elif link.delay:
                command += ["-D", link.delay.replace("ms", "m").replace("us", "u")]
            command += ["-L", f"{link.loss:.9f}"] if link.loss else []
            command += ["-B", link.rate] if link.rate else []
            command += ["-R", link.reorder] if link.reorder else []
            command += ["-Q", link.queue] if link.queue else []
            lines[link.name] = self.start(command, f"link-{link.name}")
        for link in self.lab.links.values():
            for end in link.ends if link.modelled else []:
                with subprocess.Popen([str(self.programs / "unetmap"), "wait", f"{self.switch(link, end)}:line", "-t", f"{READY_S:.0f}s"],
                                      env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as there:
                    try:
                        self.wait(lambda there=there: there.poll() == 0, lines[link.name], f"link {link.name}", f"link-{link.name}")
                    finally:
                        there.terminate()

    @staticmethod
    def seconds(text: str) -> float:
        match = re.fullmatch(r"([0-9.]+)(s|ms|us)", text)
        assert match
        return float(match[1]) * {"s": 1.0, "ms": 1e-3, "us": 1e-6}[match[2]]

    def make_captures(self) -> None:
        for capture in self.lab.captures.values():
            link = self.lab.links[capture.link]
            port = self.port(link, capture.node)
            # Of a program that is not there yet there is nothing to capture: what its end of the link has.
            if self.lab.nodes[capture.node].kind != "namespace":
                raise LabError(f"capture {capture.name}: only ends of namespaces are captured before they send; name such an end")
            process = self.start([str(self.programs / "unetmap"), "capture", port, "-q", "-w", str(self.capture_file(capture.name)),
                                  *([capture.filter] if capture.filter else [])], f"capture-{capture.name}")
            self.wait(lambda file=self.capture_file(capture.name): file.exists() and file.stat().st_size > 0, process,
                      f"capture {capture.name} does not begin", f"capture-{capture.name}")

    def make_machines(self) -> None:
        machines = {}
        launch = next((each for each in (self.programs / "launch-qemu.sh",
                                         Path(__file__).resolve().parents[2] / "scripts/launch-qemu.sh") if each.exists()), None)
        for node in self.lab.nodes.values():
            if node.kind != "machine":
                continue
            links = self.links_of(node.name)
            if not launch or len(links) != 1:
                raise LabError(f"node {node.name}: a machine takes launch-qemu.sh and one link")
            folder = self.folder
            address = next(iter(node.address.get(links[0].name, [])), "")
            env = {**self.env_of(node.name), "BIN": str(self.programs), "SWITCH": self.switch(links[0], node.name),
                   "DEVICE": os.environ.get("LAB_DEVICE", "e1000"), "MEMORY": node.memory, "LINK": "stream",
                   "CONSOLE": f"file:{folder}/{node.name}.console",
                   "APPEND": "unetmap.agent=ttyS1" + (f" unetmap.ip={address}" if address else ""),
                   "EXTRA": f"-chardev socket,id=agent,path={folder}/{node.name}.agent,server=on,wait=off -serial chardev:agent"}
            machines[node.name] = self.start([str(launch), "qemu", "--vale", self.machine_index(node.name)], f"machine-{node.name}", env)
        for node in self.lab.nodes.values():
            if node.kind != "machine":
                continue
            agent = self.folder / f"{node.name}.agent"
            self.wait(agent.exists, machines[node.name], f"machine {node.name} does not start", f"machine-{node.name}", BOOT_S)
            self.await_boot(node.name)
            for line in node.setup:
                status, said = self.in_machine(node.name, line, READY_S)
                if status:
                    raise LabError(f"node {node.name}: {line}: {said.strip()}")

    def await_boot(self, node: str) -> None:
        """Until the guest's agent says that it is there. Nothing is sent before: the serial line would keep a part of it."""
        why = "ends before it has booted"
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(BOOT_S)
            try:
                connection.connect(str(self.folder / f"{node}.agent"))
                for line in connection.makefile(encoding="utf-8", errors="replace", newline="\n"):
                    if line.strip() == "ready":
                        return
            except TimeoutError:
                why = f"does not boot within {BOOT_S:.0f} s"
            except OSError:
                pass
        raise LabError(f"node {node}: {why}: {self.log(f'machine-{node}')[-400:]}")

    def in_machine(self, node: str, command: str, limit_s: float) -> tuple[int, str]:
        """Runs a command by the agent of the guest (vm/guestimage/agent)."""
        if "\n" in command:
            raise LabError(f"node {node}: a machine takes commands of one line")
        why = "its machine has ended"
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(limit_s)
            number, said = str(time.monotonic_ns()), ""
            try:
                connection.connect(str(self.folder / f"{node}.agent"))
                connection.sendall(f"run {number} {command}\n".encode())
                for line in connection.makefile(encoding="utf-8", errors="replace", newline="\n"):
                    verb, _, rest = line.rstrip("\r\n").partition(" ")
                    of, _, text = rest.partition(" ")
                    if of == number and verb == "out":
                        said += text + "\n"
                    elif of == number and verb == "end":
                        return int(text), said
            except TimeoutError:
                why = f"no answer within {limit_s:.0f} s"
            except OSError:
                pass
        raise LabError(f"node {node}: {command}: {why}: {self.log(f'machine-{node}')[-400:]}")

    # --- later ---

    def command(self, node: str, words: list[str]) -> list[str]:
        if node and self.lab.nodes[node].kind == "namespace":
            return [*self.enter(node), *words]
        return words

    def save(self) -> None:
        state = {"file": str(self.lab.path.resolve()), "made": self.made(), "started": self.started, "holders": self.holders}
        new = self.folder / "state.new"
        new.write_text(json.dumps(state))
        new.replace(self.folder / "state.json")

    def made(self) -> str:
        """Of what does not change while the lab is up."""
        return hashlib.sha256(repr((self.lab.nodes, self.lab.links, self.lab.captures)).encode()).hexdigest()

    def state(self) -> dict | None:
        """Of a lab that is up; None where it is not."""
        if not self.folder.exists():
            return None
        for each in self.folders():
            check_own(each)
        try:
            state = json.loads((self.folder / "state.json").read_text())
            found = any(processes.start_time(pid) == started for pid, started in state["started"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return state if found else None

    def own_state(self) -> dict | None:
        """The same; refuses another file's lab of that name."""
        state = self.state()
        if state and state["file"] != str(self.lab.path.resolve()):
            raise LabError(f"lab {self.lab.name}: one of that name is up, from another file: unetmap-lab down {state['file']}")
        return state

    def join(self) -> None:
        """Goes on with a lab that another process brought up."""
        state = self.own_state()
        if state is None:
            raise LabError(f"lab {self.lab.name}: is not up; unetmap-lab up {self.lab.path}")
        if state["made"] != self.made():
            raise LabError(f"lab {self.lab.name}: its nodes, links or captures in {self.lab.path} are not those that are up; take it down and up again")
        self.started = [tuple(each) for each in state["started"]]
        self.holders = state["holders"]

    def down(self) -> bool:
        """Whether there was anything to take down."""
        if not self.folder.is_dir():
            return False
        with self.alone():
            state = self.state()
            if state and Path(state["file"]).exists():
                state = self.own_state()
            self.started = [tuple(each) for each in state["started"]] if state else []
            return self.end()

    def end(self) -> bool:
        """The daemon last, so that the others end in good order. Nothing interrupts it."""
        before = {each: signal.signal(each, signal.SIG_IGN) for each in ENDING}
        try:
            daemon, others = self.started[:1], self.started[1:]
            processes.end(list(reversed(others)))
            processes.end(daemon)
            left = self.end_what_is_left()
            found = bool(self.started) or left
            self.started, self.holders = [], {}
            try:
                (self.folder / "state.json").unlink(missing_ok=True)
            except OSError as error:
                print(f"unetmap-lab: {error}", file=sys.stderr)
            return found
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def end_what_is_left(self) -> bool:
        """Keepers and workers see the daemon's end; what steps left behind, and one who was killed while making the lab, is of no use any more."""
        left = processes.with_variable(f"LAB={self.folder}")
        processes.end(left, patience_s=2.0)
        return bool(left)
