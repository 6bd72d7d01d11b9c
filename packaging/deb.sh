#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Debian packages of what is built: debian/rules in a copy of what it takes from the sources, so that neither they nor the
# folder above them are written to.
# usage: packaging/deb.sh BUILD_DIR OUT_DIR
set -eu
[ $# -eq 2 ] || { echo "usage: packaging/deb.sh BUILD_DIR OUT_DIR" >&2; exit 2; }
build=$(cd "$1" && pwd)
out=$(cd "$2" && pwd)
cd "$(dirname -- "$0")/.."
mkdir "$out/unetmap"
cp -RP debian guest packaging python "$out/unetmap"
cd "$out/unetmap"
UNETMAP_DEB_BUILD=$build dpkg-buildpackage -b -us -uc
rm -rf "$out/unetmap"
