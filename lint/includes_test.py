# SPDX-License-Identifier: BSD-2-Clause
"""Tests of the include check: python3 -m unittest discover -s lint -p '*_test.py'"""
import os
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import includes  # noqa: E402


class IncludesTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)
        self.write("src/base/fd.hh", "")
        self.write("src/ring/layout.hh", "")
        self.write("src/daemon/registry/registry.hh", "")
        self.write("include/net/netmap.h", "")

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def complaints(self, name, text):
        self.write(name, text)
        return includes.complaints(self.root)

    def test_downwards_is_fine(self):
        text = '#include "daemon/registry/registry.hh"\n#include "ring/layout.hh"\n#include <net/netmap.h>\n#include <vector>\n'
        self.assertEqual(self.complaints("src/daemon/registry/registry.cc", text), [])

    def test_upwards_is_not(self):
        found = self.complaints("src/ring/view.cc", '#include <vector>\n#include "daemon/registry/registry.hh"\n')
        self.assertEqual(len(found), 1)
        self.assertIn("src/ring/view.cc:2: src/ring must not include src/daemon/registry/registry.hh", found[0])

    def test_angle_brackets_hide_nothing(self):
        self.assertEqual(len(self.complaints("src/ring/view.cc", "#include <daemon/registry/registry.hh>\n")), 1)

    def test_public_headers_use_no_source_folder(self):
        self.assertEqual(len(self.complaints("include/unetmap/port.hh", '#include "base/fd.hh"\n')), 1)

    def test_tools_use_the_public_interface(self):
        self.assertEqual(self.complaints("tools/x/main.cc", '#include "base/fd.hh"\n#include <net/netmap.h>\n'), [])
        self.assertEqual(len(self.complaints("tools/x/main.cc", '#include "ring/layout.hh"\n')), 1)

    def test_inner_folders_of_a_tool_name_its_top(self):
        self.write("tools/cat/tables.hh", "")
        self.assertEqual(self.complaints("tools/cat/live/view.cc", '#include "tables.hh"\n'), [])
        self.assertEqual(len(self.complaints("tools/dog/live/view.cc", '#include "tables.hh"\n')), 1)

    def test_what_freebsd_has_not(self):
        text = "#include <linux/if_tun.h>\n#include <sys/timerfd.h>\n#include <sys/socket.h>\n"
        self.assertEqual(len(self.complaints("tools/pkt-gen/tap.cc", text)), 2)
        (self.root / "tools/pkt-gen/tap.cc").unlink()
        for name in ("tools/parts/linux/system.cc", "tools/pkt-gen/tap_test.cc", "tools/l2open/open.cc", "tools/parts/l2_descriptor.cc"):
            self.assertEqual(self.complaints(name, text), [], name)

    def test_no_way_around(self):
        self.assertEqual(len(self.complaints("src/ring/view.cc", '#include "../daemon/registry.hh"\n')), 1)
        self.assertEqual(len(self.complaints("src/ring/view.cc", '#include "other.hh"\n')), 1)

    def test_rooms_of_a_folder_have_directions_too(self):
        for name in ("link/rpc", "ring/tx_ring", "state"):
            self.write(f"src/client/{name}.hh", "")
        ring, link = '#include "client/ring/tx_ring.hh"\n', '#include "client/link/rpc.hh"\n'
        self.assertEqual(self.complaints("src/client/ring/switch/tx.cc", ring + link), [])
        found = self.complaints("src/client/link/rpc.cc", ring)
        self.assertEqual(len(found), 1)
        self.assertIn("src/client/link must not include src/client/ring/tx_ring.hh; it may include no other room", found[0])
        self.assertEqual(len(self.complaints("src/client/link/rpc.cc", '#include "client/state.hh"\n')), 1)
        self.assertEqual(self.complaints("src/client/link/rpc.cc", link), [])
        self.assertIn("does not know", self.complaints("src/client/attic/box.cc", link)[0])

    def test_unknown_folders_are_noticed(self):
        found = self.complaints("src/novel/thing.cc", '#include "base/fd.hh"\n')
        self.assertEqual(len(found), 1)
        self.assertIn("does not know", found[0])

    def test_the_table_has_no_cycles(self):
        below = {}

        def reach(folder, path):
            self.assertNotIn(folder, path)
            if folder not in below:
                below[folder] = True
            for other in includes.MAY_INCLUDE[folder]:
                reach(other, (*path, folder))

        for folder in includes.MAY_INCLUDE:
            reach(folder, ())

    def test_rooms_stand_above_what_they_use(self):
        for rooms in includes.ROOMS.values():
            seen = set()
            for room, below in rooms.items():
                self.assertLessEqual(set(below), seen, room)
                seen.add(room)


if __name__ == "__main__":
    unittest.main()
