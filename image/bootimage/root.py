# SPDX-License-Identifier: BSD-2-Clause
"""Roots of a Debian release as tar files, made by mmdebstrap: as root, or as a user with subordinate ids."""
import hashlib
import os
import shutil
import subprocess

from bootimage.step import run
from guestimage.packages import KEYRING, Unavailable, locked, mirrors

# Of all roots, whatever is built in them: what packages bring is no newer in the image, and a date in /etc/shadow has to be some day.
EPOCH = 1754697600
# Neither read by anybody in the image, nor needed for a start. Manual pages come from this project's build; X draws without libgallium.
EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*",
            "/usr/share/bug/*", "/usr/lib/*/libLLVM*", "/usr/lib/*/libgallium*", "/usr/lib/*/dri/*", "/usr/lib/*/libz3*")

# The user of the text, without a password until there is one: whoever sits before the machine owns it.
HOOKS = (
    'chroot "$1" useradd --uid 1000 --user-group --no-create-home --home-dir /home/tc --shell /bin/bash --groups sudo,video,input,dialout tc',
    'chroot "$1" passwd --delete tc',
    'chroot "$1" systemctl mask apt-daily.timer apt-daily-upgrade.timer systemd-networkd-wait-online.service',
    'chroot "$1" systemctl enable systemd-networkd.service systemd-resolved.service',
    'chroot "$1" systemctl set-default multi-user.target',
)


def _fingerprint(*parts):
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:12]


def root_tar(cache, release, name, packages, hooks=(), excluded=()):
    """The path of a tar file with `packages` of the release and all that they need. Made once for the same arguments, then found again."""
    archive, security = mirrors()
    sources = release.sources(archive, security, KEYRING)
    key = _fingerprint(release, sorted(packages), hooks, excluded, sources)
    path = os.path.join(cache, f"{name}-{release.name}-{key}.tar")
    with locked(path):
        if os.path.exists(path):
            return path
        work = path + ".work"
        shutil.rmtree(work, ignore_errors=True)
        os.makedirs(work)
        preferences = os.path.join(work, "preferences")
        with open(preferences, "w", encoding="utf-8") as file:
            file.write(release.preferences())
        archives = os.path.join(cache, f"archives-{release.name}")
        os.makedirs(archives, exist_ok=True)
        command = [
            "mmdebstrap", "--variant=minbase", "--format=tar", f"--include={','.join(sorted(packages))}",
            "--aptopt=APT::Install-Recommends \"false\"", "--aptopt=Acquire::Check-Valid-Until \"false\"",
            "--aptopt=Acquire::Languages \"none\"", "--aptopt=Acquire::Retries \"3\"", "--skip=download/empty", "--skip=essential/unlink",
            f"--setup-hook=mkdir -p \"$1/etc/apt/preferences.d\" && cp {preferences} \"$1/etc/apt/preferences.d/image\"",
            # mmdebstrap's own words stand alone in a hook.
            "--setup-hook=mkdir -p \"$1/var/cache/apt/archives\"", f"--setup-hook=sync-in {archives} /var/cache/apt/archives",
            f"--customize-hook=sync-out /var/cache/apt/archives {archives}",
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in excluded), *(f"--customize-hook={hook}" for hook in hooks),
            release.name, path + ".new", *sources]
        run(command, f"{name} of {release.name}: {len(packages)} packages and what they need", os.path.join(cache, f"{name}-{release.name}.log"),
            environment={"SOURCE_DATE_EPOCH": str(EPOCH)})
        for other in os.listdir(cache):
            if other.startswith(f"{name}-{release.name}-") and other.endswith(".tar"):
                os.remove(os.path.join(cache, other))
        os.rename(path + ".new", path)
        shutil.rmtree(work)
    return path
