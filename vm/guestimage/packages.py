# SPDX-License-Identifier: BSD-2-Clause
"""Debian packages of any suite, unpacked into folders of a cache and never installed.

apt does the work, with a state of its own that starts from an empty system, so that the result is the same on every machine and
needs no privileges. The mirror is the one that this machine's apt is configured for.
"""
import contextlib
import fcntl
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
APT_LIMIT_S = 600


class Unavailable(Exception):
    """What is needed cannot be had on this machine; the text says why."""


def _run(command, environment=None):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=APT_LIMIT_S, stdin=subprocess.DEVNULL,
                              env={**os.environ, "LC_ALL": "C", **(environment or {})})
    except FileNotFoundError:
        raise Unavailable(f"{command[0]} is missing: guests are made from Debian packages, on Debian") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{shown(command)}: no end within {APT_LIMIT_S} s; is there a network?") from None
    if done.returncode != 0:
        raise Unavailable(f"{shown(command)}: {complaint(done)}")
    return done.stdout


def shown(command):
    """Without options, most of which say where things are."""
    words = (word for number, word in enumerate(command) if number == 0 or not word.startswith("-") and command[number - 1] != "-o")
    return " ".join(words)


def complaint(done):
    """What a program says went wrong; of apt's, only that."""
    said = done.stderr.strip() or done.stdout.strip() or "failed"
    return "; ".join(re.findall(r"^E: (.+)", said, re.M)) or said


def mirrors():
    """The addresses of Debian's archive and of that of its security updates, or None for the second, as this machine's apt knows them."""
    listed = _run(["apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages", "Origin: Debian",
                   "Component: main"])
    archive = security = None
    for line in listed.splitlines():
        codename, address = line.split()
        if codename.endswith("-security"):
            security = security or address
        elif "-" not in codename:  # updates and backports may be archives that hold few packages
            archive = archive or address
    if not archive:
        raise Unavailable("apt knows no Debian archive: add one to its sources, and run apt-get update")
    return archive, security


def mirror():
    """The address of Debian's archive, as this machine's apt knows it."""
    return mirrors()[0]


@contextlib.contextmanager
def locked(path):
    """Nobody else makes the same thing meanwhile."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".lock", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Apt:
    """apt for the suites of one release, with all that it writes in a folder of its own."""

    def __init__(self, folder, suites):
        self._folder = folder
        for part in ("state/lists/partial", "cache/archives/partial"):
            os.makedirs(os.path.join(folder, part), exist_ok=True)
        self._write("status", "")
        if not os.path.exists(KEYRING):
            raise Unavailable(f"{KEYRING} is missing: install debian-archive-keyring")
        address = mirror()
        self._write("sources.list", "".join(f"deb [signed-by={KEYRING}] {address} {suite} main\n" for suite in suites))
        self._options = ["-q", "-o", "APT::Sandbox::User=root", "-o", "APT::Install-Recommends=false", "-o", "Acquire::Retries=3",
                         "-o", "APT::Update::Error-Mode=any"]
        for name, value in (("Dir::Etc::sourcelist", "sources.list"), ("Dir::State", "state"), ("Dir::State::status", "status"),
                            ("Dir::Cache", "cache"), ("Dir::Etc::sourceparts", "none"), ("Dir::Etc::preferences", "none"),
                            ("Dir::Etc::preferencesparts", "none")):
            self._options += ["-o", f"{name}={os.path.join(folder, value)}"]
        _run(["apt-get", *self._options, "update"])

    def _write(self, name, text):
        with open(os.path.join(self._folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def depends_on(self, package, beginnings):
        """The packages that a package depends on and whose names begin so."""
        found = [line.split() for line in _run(["apt-cache", *self._options, "depends", package]).splitlines()]
        return [words[1] for words in found if len(words) == 2 and words[0] == "Depends:" and words[1].startswith(beginnings)]

    def stands_for(self, package, beginning, parts):
        """The package that a meta-package stands for, and those with such names that it consists of."""
        found = self.depends_on(package, beginning)
        if not found:
            raise Unavailable(f"{package} depends on no {beginning}*")
        return [found[0], *self.depends_on(found[0], parts)]

    def download(self, packages, with_dependencies, suite=None):
        """Paths of the packages' files."""
        if not with_dependencies:
            folder = os.path.join(self._folder, "cache/archives")
            done = subprocess.run(["apt-get", *self._options, "download", *packages], cwd=folder, capture_output=True, text=True,
                                  timeout=APT_LIMIT_S, stdin=subprocess.DEVNULL)
            if done.returncode != 0:
                raise Unavailable(f"apt-get download {' '.join(packages)}: {complaint(done)}")
        else:
            _run(["apt-get", *self._options, *(["-t", suite] if suite else []), "install", "-y", "--download-only", *packages])
        folder = os.path.join(self._folder, "cache/archives")
        return sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".deb"))


def _complete(folder, parts):
    """Whether of each of `parts`, which are tuples of patterns, one at least is there."""
    return all(any(glob.glob(os.path.join(folder, pattern)) for pattern in part) for part in parts)


def unpacked(cache, name, release, packages, with_dependencies=True, suite=None, meta=None, only=(), parts=()):
    """A folder with the contents of `packages` of a release; made once, then found again.

    `meta` is (meta-package, beginning, beginnings): what it stands for is taken too, with those of its own parts. `only`: paths inside the packages to keep, else all.
    `parts`: what has to be there, each in one of several places; a folder without is made again, and is not left behind.
    """
    folder = os.path.join(cache, name)
    with locked(folder):
        if os.path.isdir(folder):
            if _complete(folder, parts):
                return folder
            shutil.rmtree(folder)  # of a version that did not know this release's packages
        # It may take minutes, and nothing else is to be seen meanwhile.
        print(f"fetching Debian packages for {name}, once", file=sys.stderr, flush=True)
        for left in glob.glob(os.path.join(glob.escape(cache), f"making-{glob.escape(name)}.*")):  # by one that was killed
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=f"making-{name}.", dir=cache) as work:
            apt = Apt(os.path.join(work, "apt"), [release, suite] if suite else [release])
            wanted = list(packages) + (apt.stands_for(*meta) if meta else [])
            files = apt.download(wanted, with_dependencies, suite)
            contents = os.path.join(work, "contents")
            os.mkdir(contents)
            for file in files:
                with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", file], stdout=subprocess.PIPE) as tar:
                    _unpack(tar.stdout, contents, only)
                if tar.returncode != 0 and not only:
                    raise Unavailable(f"{file} cannot be unpacked")
            if not _complete(contents, parts):
                places = "; ".join(" or ".join(part) for part in parts)
                raise Unavailable(f"{name}: the packages {' '.join(os.path.basename(file) for file in files)} lack what is "
                                  f"looked for in them ({places}): this release packs it otherwise")
            os.rename(contents, folder)
            shutil.rmtree(os.path.join(work, "apt"))
    return folder


def _unpack(stream, folder, only):
    wildcards = ["--wildcards", *only] if only else []
    done = subprocess.run(["tar", "-x", "-C", folder, "--no-same-owner", *wildcards], stdin=stream, capture_output=True, text=True)
    # With wildcards tar complains where a package has none of these paths; an empty result is found by who uses it.
    if done.returncode != 0 and not only:
        raise Unavailable(f"tar: {done.stderr.strip()}")


def program_command(folder, name):
    """What starts a program of an unpacked folder on this machine: its own loader, with its own libraries."""
    loader = os.path.join(folder, "usr/lib64/ld-linux-x86-64.so.2")
    if not os.path.exists(loader):
        loader = os.path.join(folder, "lib64/ld-linux-x86-64.so.2")
    if not os.path.exists(loader):
        raise Unavailable(f"{folder} has no loader: remove this folder and try again")
    libraries = [path for path in (os.path.join(folder, "usr/lib/x86_64-linux-gnu"), os.path.join(folder, "lib/x86_64-linux-gnu"))
                 if os.path.isdir(path)]
    places = [os.path.join(folder, place, name) for place in ("usr/bin", "usr/sbin")]
    found = next((path for path in places if os.path.exists(path)), places[0])
    return [os.path.realpath(loader), "--library-path", ":".join(libraries), found]
