# SPDX-License-Identifier: BSD-2-Clause
"""What is different between the releases of Debian that an image can be made from."""
import dataclasses

@dataclasses.dataclass(frozen=True)
class Release:
    name: str
    number: int
    components: tuple
    # A suite whose QEMU is taken, because the release's own cannot use our e1000 (before 10.1.1).
    qemu_suite: str = ""

    def sources(self, archive, security, keyring):
        """Lines of sources.list. `security` is the address of the archive of security updates, or None where apt knows none."""
        parts = " ".join(self.components)
        suites = [self.name, f"{self.name}-updates", *([self.qemu_suite] if self.qemu_suite else [])]
        lines = [f"deb [signed-by={keyring}] {archive} {suite} {parts}" for suite in suites]
        if security:
            lines.append(f"deb [signed-by={keyring}] {security} {self.name}-security {parts}")
        return lines

    def preferences(self):
        if not self.qemu_suite:
            return ""
        return f"Package: qemu-system-* seabios ipxe-qemu\nPin: release n={self.qemu_suite}\nPin-Priority: 600\n"


RELEASES = {release.name: release for release in (
    Release("trixie", 13, ("main",), "trixie-backports"),
    # netperf is in non-free there.
    Release("bookworm", 12, ("main", "non-free")),
)}
DEFAULT = "trixie"


def named(word):
    """The name of the release that `word` names or counts: "12" is bookworm."""
    return next((release.name for release in RELEASES.values() if str(release.number) == word), word)
