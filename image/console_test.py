# SPDX-License-Identifier: BSD-2-Clause
"""Tests of how tests/image reads a machine's serial line."""
import os
import sys
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../tests/image"))
from imagelib.machine import Failed, Machine, raw_end  # noqa: E402


class Heard(Machine):
    """A machine that has said something already, and ended."""

    def __init__(self, text):
        self._text, self._changed, self._closed, self._mark = text, threading.Condition(), True, 0

    def cpu_s(self):
        return 0


class Console(unittest.TestCase):
    def test_places_between_escape_sequences(self):
        text = "ab\x1b[1;1Hcd\x1b[me"
        self.assertEqual([raw_end(text, 0, length) for length in range(6)], [0, 1, 2, 9, 10, 14])
        self.assertEqual(raw_end(text, 8, 2), 10)

    def test_what_comes_at_once_is_found_in_turn(self):
        machine = Heard("one \x1b[7mtwo\x1b[m\r\nthree\r\n")
        for word in ("one", "two", "three"):
            self.assertEqual(machine.expect(word, word)[0], word)
        with self.assertRaisesRegex(Failed, "the machine ended without 'two'"):
            machine.expect("two", "a word that has been found")


if __name__ == "__main__":
    unittest.main()
