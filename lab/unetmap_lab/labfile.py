# SPDX-License-Identifier: BSD-2-Clause
"""Reads a lab file, and says where it makes no sense: file, line, key, remedy."""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

NAME = re.compile(r"[a-z][a-z0-9-]{0,11}")
KINDS = ("namespace", "program", "machine")
TIME = re.compile(r"([0-9]+|[0-9]*\.[0-9]+)(s|ms|us)")
MEMORY = re.compile(r"[1-9][0-9]*[MG]")
MOST_LINKS = 100  # so that "node.link" fits an interface's name
# A link's name in capitals is a variable of its nodes' commands. These have a meaning to the shell, the loader, or to us.
NO_LINKS = re.compile(r"path|home|lab|ifs|env|user|shell|lang|lc-.*|ld-.*|tmpdir|pwd|term|unetmap.*|xdg-.*|port-.*|capture-.*|python.*|perl.*|bash.*|ps[1-4]|sudo-.*")


class LabError(Exception):
    """What to tell the user, in one line."""


@dataclass
class Node:
    name: str
    kind: str = "namespace"
    address: dict[str, list[str]] = field(default_factory=dict)  # by link
    setup: list[str] = field(default_factory=list)
    memory: str = "256M"


@dataclass
class Link:
    name: str
    ends: list[str]
    delay: str = ""
    jitter: str = ""
    loss: float = 0.0
    rate: str = ""
    reorder: str = ""
    queue: str = ""
    seed: int = 1
    set: dict[str, dict[str, str]] = field(default_factory=dict)  # by node: properties of its port

    @property
    def modelled(self) -> bool:
        return bool(self.delay or self.jitter or self.loss or self.rate or self.reorder or self.queue)


@dataclass
class Capture:
    name: str
    link: str
    node: str
    filter: str = ""


@dataclass
class Step:
    name: str
    run: str = ""
    node: str = ""
    join: str = ""
    background: bool = False
    until: str = ""
    status: int = 0
    expect: str = ""
    between: list[float] = field(default_factory=list)
    timeout: float = 60.0
    needs: list[str] = field(default_factory=list)


@dataclass
class Lab:
    path: Path
    name: str
    text: str
    nodes: dict[str, Node]
    links: dict[str, Link]
    captures: dict[str, Capture]
    steps: list[Step]


class Reader:
    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise LabError(f"{path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise LabError(f"{path}: is no text") from None
        except ValueError as error:
            raise LabError(f"{str(path)!r}: {error}") from None
        try:
            self.root = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            line = re.search(r"at line (\d+)", str(error))
            raise LabError(f"{path}:{line[1] if line else 1}: {error}; see unetmap-lab(8) for what a file is like") from None
        except RecursionError:
            raise LabError(f"{path}:1: its lists lie too deep in each other; see unetmap-lab(8) for what a file is like") from None

    def bad(self, keys: list[str | int], what: str) -> LabError:
        return LabError(f"{self.path}:{self.line(keys)}: {self.shown(keys)}: {what}")

    @staticmethod
    def shown(keys: list[str | int]) -> str:
        return "".join(f"[{key}]" if isinstance(key, int) else f".{key if key.isprintable() else repr(key)}" for key in keys).lstrip(".")

    def line(self, keys: list[str | int]) -> int:
        """Of the key, as far as the text tells: within its table's lines."""
        lines = self.text.splitlines()
        begin = 0
        table = [str(key) for key in keys[:2] if isinstance(key, str)]
        if keys and keys[0] == "step":
            heads = [i for i, line in enumerate(lines) if re.match(r"\s*\[\[\s*step\s*\]\]", line)]
            number = keys[1] if len(keys) > 1 and isinstance(keys[1], int) else 0
            begin = heads[number] if number < len(heads) else 0
        else:
            for i, line in enumerate(lines):
                if re.match(r"\s*\[\s*" + r"\s*\.\s*".join(map(re.escape, table)) + r"\s*[\].]", line):
                    begin = i
                    break
        if len(keys) > 1 and isinstance(keys[-1], str):
            for i in range(begin, len(lines)):
                if i > begin and lines[i].lstrip().startswith("["):
                    break
                if re.match(rf"\s*\"?{re.escape(keys[-1])}\"?\s*=", lines[i]):
                    return i + 1
        return begin + 1

    def members(self, table: dict, known: dict[str, type | tuple], at: list[str | int]) -> None:
        for key, value in table.items():
            if key not in known:
                raise self.bad([*at, key], f"there is no such key; there are {', '.join(known)}")
            if not isinstance(value, known[key]) or (isinstance(value, bool) and known[key] is not bool):
                kind = {str: "a text", int: "a number", bool: "true or false", list: "a list", dict: "a table"}
                wanted = known[key] if isinstance(known[key], tuple) else (known[key],)
                raise self.bad([*at, key], "takes " + " or ".join(dict.fromkeys(kind.get(t, "a number") for t in wanted)))

    def table(self, name: str) -> dict:
        table = self.root.get(name, {})
        if not isinstance(table, dict):
            raise self.bad([name], f"is no table; write [{name}.NAME]")
        for key, value in table.items():
            if not NAME.fullmatch(key):
                raise self.bad([name, key], "is no name; use at most 12 small letters, digits and dashes")
            if not isinstance(value, dict):
                raise self.bad([name, key], f"is no table; write [{name}.{key}]")
        return table

    def time(self, text: str, keys: list[str | int]) -> float:
        match = TIME.fullmatch(text)
        if not match:
            raise self.bad(keys, "takes a time such as \"10ms\"")
        return float(match[1]) * {"s": 1.0, "ms": 1e-3, "us": 1e-6}[match[2]]

    def texts(self, listed: list, keys: list[str | int]) -> list[str]:
        if not all(isinstance(each, str) for each in listed):
            raise self.bad(keys, "takes a list of texts")
        return listed

    def read(self) -> Lab:
        for key in self.root:
            if key not in ("lab", "node", "link", "capture", "step"):
                raise self.bad([key], "there is no such table; there are lab, node, link, capture, step")
        head = self.root.get("lab", {})
        if not isinstance(head, dict):
            raise self.bad(["lab"], "is no table; write [lab]")
        self.members(head, {"name": str, "text": str}, ["lab"])
        name = head.get("name", self.path.stem)
        if not NAME.fullmatch(name):
            raise self.bad(["lab", "name"], f"{name!r} is no name; use at most 12 small letters, digits and dashes")
        nodes = {key: self.node(key, value) for key, value in self.table("node").items()}
        links = {key: self.link(key, value, nodes) for key, value in self.table("link").items()}
        if len(links) > MOST_LINKS:
            raise self.bad(["link", list(links)[MOST_LINKS]], f"is one too many; a lab has at most {MOST_LINKS} links")
        for node in nodes.values():
            for link in list(node.address):
                mine = [each.name for each in links.values() if node.name in each.ends]
                if link == "":
                    if len(mine) != 1:
                        raise self.bad(["node", node.name, "address"], "say of which link, as in { wire = \"10.0.0.1/24\" }")
                    node.address = {mine[0]: node.address[""]}
                elif link not in mine:
                    raise self.bad(["node", node.name, "address"], f"the node has no link {link}")
        captures = {key: self.capture(key, value, links) for key, value in self.table("capture").items()}
        steps = self.root.get("step", [])
        if not isinstance(steps, list):
            raise self.bad(["step"], "is no list; write [[step]]")
        return Lab(self.path, name, head.get("text", ""), nodes, links, captures, self.steps(steps, nodes))

    def node(self, name: str, table: dict) -> Node:
        at = ["node", name]
        self.members(table, {"kind": str, "address": (str, list, dict), "setup": list, "memory": str}, at)
        node = Node(name, table.get("kind", "namespace"), setup=self.texts(table.get("setup", []), [*at, "setup"]), memory=table.get("memory", "256M"))
        if node.kind not in KINDS:
            raise self.bad([*at, "kind"], f"is to be one of {', '.join(KINDS)}")
        if not MEMORY.fullmatch(node.memory):
            raise self.bad([*at, "memory"], "takes a size such as \"256M\"")
        address = table.get("address", {})
        listed = address if isinstance(address, dict) else {"": address}
        node.address = {link: [each] if isinstance(each, str) else each for link, each in listed.items()}
        for each in node.address.values():
            if not isinstance(each, list) or not all(isinstance(one, str) and re.fullmatch(r"[0-9a-fA-F.:]+/\d+", one) for one in each):
                raise self.bad([*at, "address"], "takes addresses with their prefix, such as \"10.0.0.1/24\"")
        if node.address and node.kind == "program":
            raise self.bad([*at, "address"], "a program has no addresses; make it a namespace")
        return node

    def link(self, name: str, table: dict, nodes: dict[str, Node]) -> Link:
        at = ["link", name]
        self.members(table, {"ends": list, "delay": str, "jitter": str, "loss": (int, float), "rate": str,
                             "reorder": str, "queue": str, "seed": int, "set": dict}, at)
        if NO_LINKS.fullmatch(name):
            raise self.bad(at, f"cannot be a link's name, as ${name.replace('-', '_').upper()} means something else to programs; take another")
        link = Link(name, self.texts(table.get("ends", []), [*at, "ends"]), **{key: value for key, value in table.items() if key != "ends"})
        if len(link.ends) < 2 or len(set(link.ends)) != len(link.ends):
            raise self.bad([*at, "ends"], "takes two nodes, or more for a switch")
        for end in link.ends:
            if end not in nodes:
                raise self.bad([*at, "ends"], f"there is no node {end}; write [node.{end}]")
        if link.modelled and len(link.ends) != 2:
            raise self.bad([*at, "ends"], "a link with a model has two ends; join several by links to one switch")
        if not 0 <= link.loss <= 1:
            raise self.bad([*at, "loss"], "takes a probability from 0 to 1")
        for key in ("delay", "jitter"):
            if getattr(link, key):
                self.time(getattr(link, key), [*at, key])
        if link.jitter and not link.delay:
            raise self.bad([*at, "jitter"], "is about a delay; give that, too")
        for node in link.set:
            if node not in link.ends or not isinstance(link.set[node], dict):
                raise self.bad([*at, "set"], "takes the properties of its ends, as in { a = { vlan = \"access 10\" } }")
            for value in link.set[node].values():
                if not isinstance(value, (str, int, float, list)):
                    raise self.bad([*at, "set"], "takes texts, numbers, true, false, or lists of texts as properties")
                if isinstance(value, list):
                    self.texts(value, [*at, "set"])
        return link

    def capture(self, name: str, table: dict, links: dict[str, Link]) -> Capture:
        at = ["capture", name]
        self.members(table, {"at": str, "filter": str}, at)
        link, _, node = table.get("at", "").partition(".")
        if link not in links or node not in links[link].ends:
            raise self.bad([*at, "at"], "takes the end of a link, such as \"wire.a\"")
        return Capture(name, link, node, table.get("filter", ""))

    def steps(self, listed: list, nodes: dict[str, Node]) -> list[Step]:
        out: list[Step] = []
        for number, table in enumerate(listed):
            at: list[str | int] = ["step", number]
            if not isinstance(table, dict):
                raise self.bad(at, "is no table; write [[step]]")
            self.members(table, {"name": str, "run": str, "node": str, "join": str, "background": bool, "until": str,
                                 "status": int, "expect": str, "between": list, "timeout": str, "needs": list}, at)
            values = dict(table)
            if "timeout" in values:
                values["timeout"] = self.time(values["timeout"], [*at, "timeout"])
            self.texts(values.get("needs", []), [*at, "needs"])
            step = Step(**{"name": table.get("join", table.get("run", ""))[:60], **values})
            if bool(step.run) == bool(step.join):
                raise self.bad(at, "takes either run or join")
            if step.node and step.node not in nodes:
                raise self.bad([*at, "node"], f"there is no node {step.node}; write [node.{step.node}]")
            if step.join and step.join not in [each.name for each in out if each.background]:
                raise self.bad([*at, "join"], "names no step before it that runs in the background")
            for key in ("until", "expect"):
                try:
                    groups = re.compile(getattr(step, key)).groups
                except re.error as error:
                    raise self.bad([*at, key], f"is no regular expression: {error}") from None
                if key == "expect" and step.between and groups != 1:
                    raise self.bad([*at, key], "has to have one group, whose number is to lie between the two")
            numbers = all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in step.between)
            if step.between and (len(step.between) != 2 or not numbers or not step.expect):
                raise self.bad([*at, "between"], "takes two numbers, beside an expect with a group")
            if step.until and not step.background:
                raise self.bad([*at, "until"], "is for steps in the background")
            if step.background and step.name in [each.name for each in out if each.background]:
                raise self.bad([*at, "name"], "is that of another step in the background; give each a name of its own")
            out.append(step)
        return out


def read(path: Path) -> Lab:
    return Reader(path).read()
