# SPDX-License-Identifier: BSD-2-Clause
"""Our e1000 and QEMU's own, asked the same (tests/scenario/e1000_oracle_test.cc), with a QEMU that can do without a processor: that of
Debian 12 cannot. UNETMAP_ORACLE_SCRIPTS and UNETMAP_ORACLE_SEED say how many scripts are made, and from where on."""
import os
import subprocess
import sys
import unittest

from guestlib import rig as guests


class Oracle(unittest.TestCase):
    def test_scripts(self):
        program = os.path.join(guests.build_folder(), "tests/scenario/scenario-e1000_oracle_test")
        if not os.path.exists(program):
            guests.skip(f"{program} is not built")
        qemu = guests.require_newer_qemu()
        modules = os.path.join(qemu.removesuffix(".sh"), "usr/lib/x86_64-linux-gnu/qemu")
        done = subprocess.run([program], env={**os.environ, "SOURCE_DIR": guests.SOURCE, "UNETMAP_QTEST_QEMU": qemu, "QEMU_MODULE_DIR": modules},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        sys.stdout.write(done.stdout[-6000:])
        self.assertEqual(done.returncode, 0)
        self.assertNotIn("SKIPPED", done.stdout)


if __name__ == "__main__":
    guests.main()
