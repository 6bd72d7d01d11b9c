#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Makes an OCI image of an installed tree, without a container engine: programs, the libraries that they load, and no more.

    DESTDIR=tree cmake --install build --prefix /usr
    packaging/oci.py tree image [--shell /bin/busybox]

The image is a folder (an OCI image layout) that skopeo, umoci, podman and buildah read: `podman pull oci:image:latest`. The same tree
makes the same image, byte for byte.
"""
import argparse
import gzip
import hashlib
import io
import json
import os
import platform
import re
import subprocess
import sys
import tarfile
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64"}
# Not for running programs.
LEFT_OUT = re.compile(r"^usr/(include|share/(man|doc|bash-completion|zsh|qemu)|lib/(systemd|.*/pkgconfig|.*\.a$)|lib/systemd)(/|$)")
PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"


def is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def libraries(path: Path, search: list[Path]) -> list[Path]:
    """What the program loads from this machine, the loader included. By the loader itself, so none is left out."""
    done = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False,
                          env={**os.environ, "LC_ALL": "C", "LD_LIBRARY_PATH": ":".join(map(str, search))})
    if "not found" in done.stdout:
        sys.exit(f"oci.py: {path}: {' '.join(re.findall(r'.*not found', done.stdout)).strip()}; install it")
    return [Path(each) for each in re.findall(r"(?:=> )?(/\S+) \(0x", done.stdout)]


def copyrights(files: set[Path]) -> list[Path]:
    """Of the packages that the files are of."""
    names = {variant for file in files for path in (str(file), str(file.resolve()))
             for variant in (path, path.removeprefix("/usr"), f"/usr{path}")}
    said = subprocess.run(["dpkg", "-S", *sorted(names)], capture_output=True, text=True, check=False).stdout
    owners = {owner.strip().split(":")[0] for line in said.splitlines() for owner in line.rpartition(": ")[0].split(",")}
    return [file for owner in sorted(owners) if owner and (file := Path("/usr/share/doc") / owner / "copyright").exists()]


class Layer:
    """A tar of sorted entries that say nothing of when and by whom they were made."""

    def __init__(self) -> None:
        self.entries: dict[str, tuple[str, bytes | str, int]] = {}

    def folder(self, name: str, mode: int = 0o755) -> None:
        parts = Path(name).parts
        for end in range(1, len(parts) + 1):
            self.entries.setdefault("/".join(parts[:end]), ("folder", "", 0o755))
        self.entries[name] = ("folder", "", mode)

    def add(self, name: str, content: bytes, mode: int) -> None:
        self.folder(str(Path(name).parent))
        self.entries[name] = ("file", content, mode)

    def link(self, name: str, target: str) -> None:
        self.folder(str(Path(name).parent))
        self.entries[name] = ("link", target, 0o777)

    def copy(self, source: Path, name: str) -> None:
        self.add(name, source.read_bytes(), 0o755 if os.access(source, os.X_OK) else 0o644)

    def tar(self) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for name in sorted(each for each in self.entries if each != "."):
                kind, content, mode = self.entries[name]
                info = tarfile.TarInfo(name)
                info.mode = mode
                if kind == "folder":
                    info.type = tarfile.DIRTYPE
                    tar.addfile(info)
                elif kind == "link":
                    info.type, info.linkname = tarfile.SYMTYPE, str(content)
                    tar.addfile(info)
                else:
                    assert isinstance(content, bytes)
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
        return out.getvalue()


def fill(tree: Path, shell: Path | None) -> Layer:
    layer = Layer()
    loaded: set[Path] = set()
    own = {path.name for path in tree.rglob("*.so*")}
    search = sorted({path.parent for path in tree.rglob("*.so*")})
    for path in sorted(tree.rglob("*")):
        name = str(path.relative_to(tree))
        if LEFT_OUT.match(name) or (path.is_dir() and not path.is_symlink()):
            continue
        if path.is_symlink():
            layer.link(name, os.readlink(path))
            continue
        layer.copy(path, name)
        if is_elf(path):
            loaded.update(each for each in libraries(path, search) if each.name not in own)
    for library in sorted(loaded):
        layer.copy(library.resolve(), str(library).lstrip("/"))
    if shell:
        layer.copy(shell, "bin/busybox")
        for applet in ("sh", "ls", "cat", "id", "ip", "ping", "sleep", "ps", "kill"):
            layer.link(f"bin/{applet}", "busybox")
        loaded.add(shell)
    for file in copyrights(loaded):
        layer.copy(file, str(file).lstrip("/"))
    layer.add("etc/passwd", PASSWD.encode(), 0o644)
    for folder, mode in (("tmp", 0o1777), ("run/unetmap", 0o755), ("proc", 0o755), ("dev", 0o755), ("sys", 0o755), ("root", 0o700)):
        layer.folder(folder, mode)
    return layer


def write_image(layer: Layer, folder: Path, tag: str, version: str) -> int:
    """Returns the bytes that are pulled."""
    tar = layer.tar()
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(content: bytes, kind: str) -> dict:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    def text(value: dict) -> bytes:
        return json.dumps(value, sort_keys=True).encode()

    architecture = ARCHITECTURES.get(platform.machine(), platform.machine())
    packed = blob(gzip.compress(tar, 9, mtime=0), "layer.v1.tar+gzip")
    config = blob(text({
        "architecture": architecture, "os": "linux",
        "config": {"Env": ["PATH=/usr/libexec/unetmap/bin:/usr/bin:/bin", "UNETMAP_SOCKET=/run/unetmap/socket"],
                   "Entrypoint": ["/usr/bin/unetmap"], "Cmd": ["help"], "WorkingDir": "/tmp",
                   "Labels": {"org.opencontainers.image.title": "unetmap", "org.opencontainers.image.version": version,
                              "org.opencontainers.image.licenses": "BSD-2-Clause"}},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}"]},
        "history": [{"created_by": "packaging/oci.py"}]}), "config.v1+json")
    manifest = blob(text({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                          "config": config, "layers": [packed]}), "manifest.v1+json")
    manifest["annotations"] = {"org.opencontainers.image.ref.name": tag}
    manifest["platform"] = {"architecture": architecture, "os": "linux"}
    (folder / "oci-layout").write_bytes(text({"imageLayoutVersion": "1.0.0"}))
    (folder / "index.json").write_bytes(text({"schemaVersion": 2, "manifests": [manifest]}))
    return sum(each["size"] for each in (packed, config, manifest))


def main() -> None:
    parser = argparse.ArgumentParser(description="An OCI image of an installed tree.")
    parser.add_argument("tree", type=Path, help="what `DESTDIR=TREE cmake --install BUILD --prefix /usr` made")
    parser.add_argument("image", type=Path, help="folder to make")
    parser.add_argument("--tag", default="latest")
    parser.add_argument("--shell", type=Path, help="a busybox that needs no libraries, for a shell in it")
    arguments = parser.parse_args()
    if not (arguments.tree / "usr/bin/unetmap").exists():
        sys.exit(f"oci.py: {arguments.tree}: has no usr/bin/unetmap; install the build there, with --prefix /usr")
    if arguments.image.exists():
        sys.exit(f"oci.py: {arguments.image}: is there already; name another folder")
    said = subprocess.run([arguments.tree / "usr/bin/unetmap", "--version"], capture_output=True, text=True, check=True).stdout
    pulled = write_image(fill(arguments.tree, arguments.shell), arguments.image, arguments.tag, said.split()[-1])
    print(f"{arguments.image}: {pulled / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
