# SPDX-License-Identifier: BSD-2-Clause
"""Tests of how steps of an image are run."""
import contextlib
import io
import os
import sys
import tempfile
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../vm")]
from bootimage import step  # noqa: E402


class Words(io.StringIO):
    """What is said, and an event once anything is."""

    def __init__(self):
        super().__init__()
        self.there = threading.Event()

    def write(self, text):
        count = super().write(text)
        self.there.set()
        return count


class Alone(unittest.TestCase):
    def test_two_at_a_time(self):
        order, words = [], Words()

        def second(folder):
            with step.alone(folder):
                order.append("second")

        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(words):
            with step.alone(folder):
                self.assertEqual(words.getvalue(), "")
                thread = threading.Thread(target=second, args=(folder,))
                thread.start()
                self.assertTrue(words.there.wait(60), "nobody says that it waits")
                order.append("first")
            thread.join(60)
            self.assertIn(f"another image is being made in {folder}", words.getvalue())
        self.assertEqual(order, ["first", "second"])


if __name__ == "__main__":
    unittest.main()
