# SPDX-License-Identifier: BSD-2-Clause
"""`unetmap-lab up|down|status|test|exec FILE`."""

import argparse
import json
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

from . import labfile
from .labfile import Lab, LabError, Step
from .processes import Running
from .world import World


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
        if step.between and not step.between[0] <= float(found[1]) <= step.between[1]:
            return f"{found[0]}: is not between {step.between[0]:g} and {step.between[1]:g}"
        return ""


def status_of(world: World) -> dict:
    lab, state = world.lab, world.state()
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


def carry_out(arguments: argparse.Namespace, lab: Lab, world: World) -> tuple[int, dict]:
    if arguments.command == "up":
        begin = time.monotonic()
        world.up()
        took = time.monotonic() - begin
        if not arguments.json:
            print(f"lab {lab.name}: up in {took:.2f} s; unetmap-lab exec {arguments.file} NODE -- COMMAND runs something there")
        return 0, {**status_of(world), "seconds": round(took, 3)}
    if arguments.command == "down":
        if world.state() is not None:
            world.join()
            world.down()
        elif not arguments.json:
            print(f"lab {lab.name}: is not up")
        return 0, status_of(world)
    if arguments.command == "status":
        status = status_of(world)
        if not arguments.json:
            show_status(status)
        return 0, status
    if arguments.command == "exec":
        world.join()
        if arguments.node not in lab.nodes:
            raise LabError(f"{arguments.node}: there is no such node; there are {', '.join(lab.nodes)}")
        words = arguments.words or ["sh"]
        if lab.nodes[arguments.node].kind == "machine":
            status, said = world.in_machine(arguments.node, " ".join(words), 3600)
            print(said, end="")
            return status, {}
        os.execvpe((command := world.command(arguments.node, words))[0], command, world.env_of(arguments.node))
    begin = time.monotonic()
    world.up()
    try:
        test = Test(world, arguments.json)
        passed = test.run()
    finally:
        world.down()
    failed = next((each for each in test.results if each["result"] == "fail"), None)
    if failed:
        print(f"unetmap-lab: lab {lab.name}: {failed['step']}: {failed['why']}", file=sys.stderr)
    elif not arguments.json:
        print(f"lab {lab.name}: as expected")
    return (0 if passed else 1), {"lab": lab.name, "steps": test.results, "seconds": round(time.monotonic() - begin, 3)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="unetmap-lab", description="Labs: nodes, links and steps of a file; unetmap-lab(8).")
    parser.add_argument("command", choices=("up", "down", "status", "test", "exec"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("node", nargs="?", help="exec: where")
    parser.add_argument("words", nargs=argparse.REMAINDER, help="exec: the command; a shell without")
    words = sys.argv[1:]
    # What follows a node is its command's; before that, options may stand anywhere.
    if "exec" not in words[:2]:
        words.sort(key=lambda word: word != "--json")
    arguments = parser.parse_args(words)
    if arguments.words[:1] == ["--"]:
        del arguments.words[0]

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, interrupted)
    head = {"program": "unetmap-lab", "version": os.environ.get("UNETMAP_LAB_VERSION", "")}
    try:
        if (arguments.node is None) != (arguments.command != "exec"):
            parser.error("exec takes a node" if arguments.command == "exec" else f"{arguments.command} takes a file alone")
        lab = labfile.read(arguments.file)
        world = World(lab, Path(os.environ.get("UNETMAP_LAB_PROGRAMS") or Path(sys.argv[0]).resolve().parent))
        status, result = carry_out(arguments, lab, world)
    except LabError as error:
        print(f"unetmap-lab: {error}", file=sys.stderr)
        if arguments.json:
            print(json.dumps({**head, "error": str(error)}))
        return 1
    except KeyboardInterrupt:
        print("unetmap-lab: interrupted", file=sys.stderr)
        return 1
    if arguments.json:
        failed = next((each["why"] for each in result.get("steps", []) if each["result"] == "fail"), None)
        print(json.dumps({**head, "error": failed, **result}))
    return status


if __name__ == "__main__":
    sys.exit(main())
