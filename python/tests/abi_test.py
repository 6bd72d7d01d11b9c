# SPDX-License-Identifier: BSD-2-Clause
"""Sizes and offsets of unetmap._abi against what the C compiler makes of the headers."""
import ctypes
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from unetmap import _abi

INCLUDE = pathlib.Path(os.environ.get("SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2])) / "include"
STRUCTS = {
    "nmreq_header": _abi.Header, "nmreq_register": _abi.Register, "nmreq_port_info_get": _abi.PortInfo,
    "nmreq_vale_attach": _abi.ValeAttach, "nmreq_vale_detach": _abi.ValeDetach, "nmreq_vale_list": _abi.ValeList,
    "nmreq_vale_newif": _abi.ValeNewif, "nmreq_port_hdr": _abi.PortHdr, "netmap_slot": _abi.Slot,
    "nmctx": _abi.Context, "nmport_d": _abi.PortDescriptor, "pollfd": _abi.Pollfd,
}
# What follows in C is not in Python: only offsets are compared.
HEADS = {"netmap_ring": _abi.RingHead, "netmap_if": _abi.Interface, "nmem_d": _abi.Memory}
CONSTANTS = {"NIOCCTRL": _abi.NIOCCTRL, "NIOCTXSYNC": _abi.NIOCTXSYNC, "NIOCRXSYNC": _abi.NIOCRXSYNC, "NETMAP_API": _abi.API,
             "NS_MOREFRAG": _abi.NS_MOREFRAG, "NR_MONITOR_TX": _abi.NR_MONITOR_TX, "NR_MONITOR_RX": _abi.NR_MONITOR_RX,
             "NR_ZCOPY_MON": _abi.NR_ZCOPY_MON, "offsetof(struct netmap_ring, slot)": _abi.RING_SLOTS_OFFSET,
             "offsetof(struct netmap_if, ring_ofs)": ctypes.sizeof(_abi.Interface)}


class Abi(unittest.TestCase):
    def test_layout_is_the_headers(self) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            self.skipTest("no C compiler here")
        expected = [("sizeof", f"sizeof(struct {name})", ctypes.sizeof(kind)) for name, kind in STRUCTS.items()]
        for name, kind in {**STRUCTS, **HEADS}.items():
            for field, *_ in kind._fields_:
                if not field.startswith("pad"):
                    expected.append((name, f"offsetof(struct {name}, {field})", getattr(kind, field).offset))
        expected += [("constant", text, value) for text, value in CONSTANTS.items()]
        lines = "".join(f'  printf("%llu\\n", (unsigned long long)({text}));\n' for _, text, _ in expected)
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder) / "layout.c"
            source.write_text("#include <stddef.h>\n#include <stdio.h>\n#include <poll.h>\n#include <libnetmap.h>\n"
                              f"int main(void) {{\n{lines}  return 0;\n}}\n")
            subprocess.run([compiler, "-I", str(INCLUDE), str(source), "-o", f"{folder}/layout"], check=True)
            printed = subprocess.run([f"{folder}/layout"], check=True, capture_output=True, text=True).stdout.split()
        for (_, text, ours), theirs in zip(expected, printed, strict=True):
            with self.subTest(text):
                self.assertEqual(ours, int(theirs))


if __name__ == "__main__":
    unittest.main()
