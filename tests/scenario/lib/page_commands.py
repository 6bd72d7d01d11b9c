#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs the commands of a page of the documentation, as its readers would. usage: page_commands.py [--examples] FILE...

Each literal block of a page has a mark before it, which readers do not see: in Markdown <!-- commands: MODE: REASON -->,
in a manual page .\\" commands: MODE: REASON. Modes:
  run      each line in a terminal of its own, in order: the next one when the last has ended well or has said something.
           What still runs at the end of the page is interrupted there, and must end well
  fresh    likewise, and what still runs of the blocks before is interrupted first
  options  not run, for the reason that is given: our programs exist and know the options that are written
  text     no commands
A block without a mark is a mistake; with --examples, in the section EXAMPLES of a manual page only. Lines with .Dl that follow each
other are a block, too. Exit status 0 ok, 1 wrong, with what is wrong on standard error."""
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time

LIMIT_S = 120  # for an event that must come
MARK = re.compile(r'(?:<!--|\.\\") commands: (\w+)(?:: (.*?))?(?: -->)?$')
MODES = ("run", "fresh", "options", "text")


def blocks(path, examples):
    """(first line, language, mark or None, lines) of each literal block; of a manual page's EXAMPLES only if so wanted."""
    manual = path.suffix != ".md"
    found, mark, inside, previous_blank = [], None, None, True
    section = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if manual and line.startswith(".Sh "):
            section = line[4:]
        if inside is not None and inside["end"](line):
            if not examples or inside["section"] == "EXAMPLES":
                found.append(inside)
            fenced = not inside["indented"]
            inside = None
            if fenced:
                continue
        if inside is not None:
            inside["lines"].append(line.removeprefix(".Dl "))
        elif match := MARK.match(line):
            mark = (match[1], match[2] or "", number)
        elif manual and line.startswith(".Bd -literal"):
            inside = {"end": lambda text: text.startswith(".Ed"), "indented": False}
        elif manual and line.startswith(".Dl "):
            inside = {"end": lambda text: not text.startswith(".Dl "), "indented": True}
        elif not manual and line.startswith("```"):
            inside = {"end": lambda text: text.startswith("```"), "indented": False, "language": line[3:]}
        elif not manual and previous_blank and line.startswith("    "):
            inside = {"end": lambda text: text != "" and not text.startswith("    "), "indented": True}
        if inside is not None and "line" not in inside:
            inside.update(line=number, section=section, mark=mark, lines=[line.removeprefix(".Dl ")] if inside["indented"] else [])
            mark = None
        elif mark and inside is None and line and not MARK.match(line):
            found.append({"line": mark[2], "mark": mark, "lines": None})
            mark = None
        previous_blank = line == "" or bool(MARK.match(line))
    return found + ([inside] if inside else [])


def commands(lines, manual):
    """Whole command lines without comments."""
    out, pending = [], ""
    for line in lines:
        if manual:
            line = line.replace("\\&", "").replace("\\e", "\\").replace("\\-", "-")
        # Each has a terminal of its own.
        line = re.sub(r"\s+# .*$", "", line).strip().removesuffix(" &")
        pending += line
        if pending.endswith("\\"):
            pending = pending[:-1] + " "
        elif pending:
            out.append(pending)
            pending = ""
    return out


class Terminal:
    """A command that runs."""

    def __init__(self, where, line):
        self.where, self.line = where, line
        self.output = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            ["sh", "-c", line], stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output, start_new_session=True
        )

    def said(self):
        self.output.seek(0)
        return self.output.read().decode(errors="replace")

    def await_life(self):
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            spoke = os.fstat(self.output.fileno()).st_size > 0
            try:  # one that has spoken may be about to end: it gets a moment before it counts as one that goes on
                status = self.process.wait(2 if spoke else 0.02)
            except subprocess.TimeoutExpired:
                status = None
            if status is not None:
                return None if status == 0 else f"{self.where}: '{self.line}' gave {status}: {self.said()[-2000:]}"
            if spoke:
                return None
        return f"{self.where}: '{self.line}' neither ends nor says anything in {LIMIT_S} s"

    def end(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        try:
            status = self.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            return f"{self.where}: '{self.line}' does not end when it is interrupted: {self.said()[-2000:]}"
        if status in (0, 130, -signal.SIGINT):
            return None
        return f"{self.where}: '{self.line}' gave {status} when it was interrupted: {self.said()[-2000:]}"


def help_of(words, ours):
    """What a program of ours says of its options, commands of unetmap included; None: it is not ours."""
    name = words[0].rsplit("/", 1)[-1]
    if words[0] == "./dev":
        return subprocess.run(["./dev", "help"], capture_output=True, text=True, check=False).stdout
    if not (ours / name).exists() and not words[0].startswith(("build/", "scripts/")):
        return None
    program = [words[0] if "/" in words[0] and not words[0].startswith("build/") else name, "--help"]
    if name == "unetmap" and len(words) > 1 and not words[1].startswith("-"):
        program = [name, "help", words[1]]
    asked = subprocess.run(program, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return asked.stdout + asked.stderr if asked.returncode == 0 else ""


def parts(line):
    """The words of each command of a line."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
    lexer.whitespace_split, lexer.commenters = True, ""
    found = [[]]
    for word in lexer:
        if set(word) <= set("|&;"):
            found.append([])
        else:
            found[-1].append(word)
    return found


def unknown_options(where, line, ours):
    """What is wrong with a line that is not run."""
    wrong = []
    found = parts(line)
    for words in found:
        while words and re.match(r"[A-Z_]+=", words[0]):
            words.pop(0)
        for wrapper in ("ip netns exec", "sudo"):
            if words[: len(wrapper.split())] == wrapper.split():
                words = words[len(wrapper.split()) + (1 if "netns" in wrapper else 0) :]
        if not words:
            continue
        text = help_of(words, ours)
        if text is None:
            continue
        if not text:
            wrong.append(f"{where}: '{' '.join(words[:2])}' has no help")
            continue
        if words[0] == "./dev" and not re.search(rf"\b{re.escape(words[1])}\b", text):
            wrong.append(f"{where}: ./dev has no command '{words[1]}'")
        for at, word in enumerate(words[1:], 1):
            if word == "--" or words[0] == "./dev":
                break
            if words[0] == "l2open" and (ours / word).exists():  # what it starts
                found.append(words[at:])
                break
            if re.match(r"-{1,2}[A-Za-z]", word) and not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text):
                wrong.append(f"{where}: {words[0]} has no option {word}")
    return wrong


def interrupt(terminals):
    """What is wrong with how they end, the last one first."""
    return [problem for terminal in reversed(terminals) if (problem := terminal.end())]


def page(path, ours, examples):
    """Everything that is wrong with one page."""
    wrong, terminals, ran = [], [], 0
    for block in blocks(path, examples):
        where = f"{path}:{block['line']}"
        if block.get("language", "") not in ("", "sh", "shell", "console"):
            continue
        mode, reason = (block["mark"] or ("", ""))[:2]
        if block["lines"] is None:
            wrong.append(f"{where}: a mark with no block behind it")
        elif mode not in MODES:
            wrong.append(f"{where}: a block without a mark that says what its commands are: {__doc__}")
        elif mode == "options" and not reason:
            wrong.append(f"{where}: commands are not run, and no reason is given")
        elif mode == "options":
            for line in commands(block["lines"], path.suffix != ".md"):
                wrong += unknown_options(where, line, ours)
                ran += 1
        elif mode in ("run", "fresh"):
            if mode == "fresh":
                wrong += interrupt(terminals)
                terminals = []
            for line in commands(block["lines"], path.suffix != ".md"):
                terminals.append(Terminal(where, line))
                ran += 1
                if problem := terminals[-1].await_life():
                    wrong.append(problem)
    wrong += interrupt(terminals)
    print(f"{path}: {ran} commands")
    return wrong


def main():
    ours = pathlib.Path(os.environ["PROGRAMS"])
    examples = sys.argv[1:2] == ["--examples"]
    wrong = [problem for name in sys.argv[1 + examples :] for problem in page(pathlib.Path(name), ours, examples)]
    for problem in wrong:
        print(problem, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
