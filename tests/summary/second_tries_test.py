# SPDX-License-Identifier: BSD-2-Clause
import unittest

import second_tries

OUTPUT = """\
    Start 1: flaky
1/5 Test #1: flaky ............................***Failed    0.03 sec
first fails

    Start 1: flaky
    Test #1: flaky ............................   Passed    0.02 sec
1/5 Test #2: bad ..............................***Failed    0.01 sec
    Test #2: bad ..............................***Failed    0.01 sec
3/5 Test #4: Names/With.Spaces/0  # GetParam() = 4 ...   Passed    0.01 sec
4/5 Test #3: slow .............................***Timeout   1.02 sec
    Test #3: slow .............................   Passed    0.01 sec
5/5 Test #5: part .............................***Skipped   0.01 sec
"""


class SecondTries(unittest.TestCase):
    def test_what_failed_and_then_passed_is_named(self):
        self.assertEqual(second_tries.second_tries(OUTPUT), ["flaky", "slow"])
        self.assertEqual(second_tries.summary(OUTPUT), "2 passed at a second try only:\n  flaky\n  slow")

    def test_nothing_is_said_where_all_passed_at_once(self):
        self.assertEqual(second_tries.summary("1/1 Test #1: good ....   Passed    0.01 sec\n"), "")


if __name__ == "__main__":
    unittest.main()
