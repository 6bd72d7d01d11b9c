# SPDX-License-Identifier: BSD-2-Clause
"""`unetmap-lab up|down|status|test|exec FILE`."""

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import sys
import time
from pathlib import Path

from . import labfile
from .labfile import Lab, LabError, Step
from .processes import Running
from .world import ENDING, World, up_from


def missing(step: Step) -> str:
    """The program that a step needs and this machine has not."""
    return next((each for each in step.needs if not shutil.which(each)), "")


class Test:
    """Carries the steps out, one line each."""

    def __init__(self, world: World, quiet: bool) -> None:
        self.world = world
        self.quiet = quiet
        self.background: dict[str, Running] = {}
        self.results: list[dict] = []

    def note(self, step: Step, result: str, why: str = "") -> None:
        self.results.append({"step": step.name, "result": result, "why": why or None})
        if not self.quiet:
            print(f"{result:>4}  {step.name}" + (f": {why}" if why else ""), flush=True)

    def run(self) -> bool:
        try:
            for number, step in enumerate(self.world.lab.steps):
                if lacks := missing(step):
                    self.note(step, "skip", f"{lacks} is not installed")
                    continue
                why = self.carry_out(number, step)
                self.note(step, "fail" if why else "ok", why)
                if why:
                    return False
            return True
        finally:
            for each in self.background.values():
                each.stop()

    def carry_out(self, number: int, step: Step) -> str:
        """Why it failed; empty where it went well."""
        if step.join:
            running = self.background.pop(step.join, None)
            if running is None:
                return f"{step.join} does not run"
            return self.judge(step, running.finish(step.timeout), running.output)
        if step.node and self.world.lab.nodes[step.node].kind == "machine":
            if step.background:
                return "a machine's steps do not run in the background; end its command with &"
            return self.judge(step, *self.world.in_machine(step.node, step.run.replace("\n", "; "), step.timeout))
        command = self.world.command(step.node, ["sh", "-c", step.run])
        running = Running(command, self.world.env_of(step.node), self.world.folder / f"step-{number}.log")
        if not step.background:
            return self.judge(step, running.finish(step.timeout), running.output)
        self.background[step.name] = running
        if step.until and not running.says(step.until, step.timeout):
            return f"does not say '{step.until}' but: {running.output.strip()[-400:]}"
        return ""

    @staticmethod
    def judge(step: Step, status: int | None, output: str) -> str:
        said = output.strip()[-400:]
        if status is None:
            return f"did not end within {step.timeout:g} s; it said: {said}"
        if status != step.status:
            return f"exit status {status}, not {step.status}; it said: {said}"
        if not step.expect:
            return ""
        found = re.search(step.expect, output, re.M)
        if not found:
            return f"does not say '{step.expect}' but: {said}"
        if not step.between:
            return ""
        try:
            number = float(found[1] or "")
        except ValueError:
            return f"'{found[0]}': the expression's group has found no number"
        if not step.between[0] <= number <= step.between[1]:
            return f"{found[0]}: is not between {step.between[0]:g} and {step.between[1]:g}"
        return ""


def status_of(world: World) -> dict:
    lab, state = world.lab, world.own_state()
    ports = {f"{link.name}.{end}": world.port(link, end) for link in lab.links.values() for end in link.ends}
    return {"lab": lab.name, "running": state is not None, "socket": str(world.socket), "ports": ports,
            "nodes": [{"name": node.name, "kind": node.kind, "pid": (state or {"holders": {}})["holders"].get(node.name)}
                      for node in lab.nodes.values()]}


def show_status(status: dict) -> None:
    print(f"lab {status['lab']}: {'up' if status['running'] else 'down'}")
    if status["running"]:
        print(f"its daemon: UNETMAP_SOCKET={status['socket']}")
    for node in status["nodes"]:
        print(f"{node['name']}: {node['kind']}" + (f", process {node['pid']}" if node["pid"] else ""))
    for end, port in status["ports"].items():
        print(f"{end}: {port}")


def take_down(arguments: argparse.Namespace, programs: Path) -> tuple[int, dict]:
    """By what is up: the file may have another name in it by now, or no sense."""
    name = up_from(arguments.file)
    try:
        lab = labfile.read(arguments.file)
    except LabError:
        if not name:
            raise
        lab = None
    if lab is None or name and name != lab.name:
        lab = Lab(arguments.file, name, "", {}, {}, {}, [])
    world = World(lab, programs)
    if not world.down() and not arguments.json:
        print(f"lab {lab.name}: is not up")
    return 0, status_of(world)


def execute(arguments: argparse.Namespace, lab: Lab, world: World) -> tuple[int, dict]:
    world.join()
    if arguments.node not in lab.nodes:
        raise LabError(f"{arguments.node}: there is no such node; there are {', '.join(lab.nodes)}")
    if lab.nodes[arguments.node].kind == "machine":
        if not arguments.words:
            raise LabError(f"{arguments.node}: is a machine, which has no shell for a terminal here; give a command")
        status, said = world.in_machine(arguments.node, shlex.join(arguments.words), 3600)
        print(said, end="")
        return status, {}
    command = world.command(arguments.node, arguments.words or ["sh"])
    try:
        os.execvpe(command[0], command, world.env_of(arguments.node))
    except (OSError, ValueError) as error:
        raise LabError(f"{arguments.node}: {command[0]}: {error.strerror if isinstance(error, OSError) else error}") from None


def carry_out(arguments: argparse.Namespace, lab: Lab, world: World) -> tuple[int, dict]:
    if arguments.command == "up":
        begin = time.monotonic()
        world.up()
        took = time.monotonic() - begin
        if not arguments.json:
            print(f"lab {lab.name}: up in {took:.2f} s; unetmap-lab exec {arguments.file} NODE -- COMMAND runs something there")
        return 0, {**status_of(world), "seconds": round(took, 3)}
    if arguments.command == "status":
        status = status_of(world)
        if not arguments.json:
            show_status(status)
        return 0, status
    if arguments.command == "exec":
        return execute(arguments, lab, world)
    begin = time.monotonic()
    world.up()
    try:
        test = Test(world, arguments.json)
        passed = test.run()
    finally:
        world.end()
    failed = next((each for each in test.results if each["result"] == "fail"), None)
    if failed:
        print(f"unetmap-lab: lab {lab.name}: {failed['step']}: {failed['why']}", file=sys.stderr)
    elif not arguments.json:
        print(f"lab {lab.name}: as expected")
    return (0 if passed else 1), {"lab": lab.name, "steps": test.results, "seconds": round(time.monotonic() - begin, 3)}


def main() -> int:
    # Before anything can be interrupted; a second time does not interrupt what cleans up.
    def interrupted(*_: object) -> None:
        for each in ENDING:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for each in ENDING:
        signal.signal(each, interrupted)
    version = os.environ.get("UNETMAP_LAB_VERSION", "")
    parser = argparse.ArgumentParser(prog="unetmap-lab", description="Labs: nodes, links and steps of a file; unetmap-lab(8).")
    parser.add_argument("command", choices=("up", "down", "status", "test", "exec"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--version", action="version", version=f"unetmap-lab {version}")
    parser.add_argument("node", nargs="?", help="exec: where")
    parser.add_argument("words", nargs=argparse.REMAINDER, help="exec: the command; a shell without")
    words = sys.argv[1:]
    if words[:1] == ["help"]:
        words = ["--help"]
    # What follows a node is its command's; before that, options may stand anywhere.
    if "exec" not in words[:2]:
        words.sort(key=lambda word: word != "--json")
    arguments = parser.parse_args(words)
    if arguments.words[:1] == ["--"]:
        del arguments.words[0]
    head = {"program": "unetmap-lab", "version": version}
    try:
        if (arguments.node is None) != (arguments.command != "exec"):
            parser.error("exec takes a node" if arguments.command == "exec" else f"{arguments.command} takes a file alone")
        programs = Path(os.environ.get("UNETMAP_LAB_PROGRAMS") or Path(sys.argv[0]).resolve().parent)
        if arguments.command == "down":
            status, result = take_down(arguments, programs)
        else:
            lab = labfile.read(arguments.file)
            status, result = carry_out(arguments, lab, World(lab, programs))
        if arguments.json:
            failed = next((each["why"] for each in result.get("steps", []) if each["result"] == "fail"), None)
            print(json.dumps({**head, "error": failed, **result}))
        sys.stdout.flush()
        return status
    except (LabError, OSError) as error:
        why = str(error) if isinstance(error, LabError) else f"{error.filename or 'output'}: {error.strerror}"
        print(f"unetmap-lab: {why}", file=sys.stderr)
        try:
            if arguments.json:
                print(json.dumps({**head, "error": why}))
            sys.stdout.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still to be written is not to fail again
        return 1
    except KeyboardInterrupt:
        print("unetmap-lab: interrupted", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
