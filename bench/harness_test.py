# SPDX-License-Identifier: BSD-2-Clause
"""Tests of the bench itself: python3 -m unittest discover -s bench -p '*_test.py'"""
import os
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import report  # noqa: E402
from harness.children import Child, Children, Failed  # noqa: E402
from harness.measure import Check, Group, Row, Sample, run_group  # noqa: E402
from rows import pktgen  # noqa: E402


class FakeBench:
    cpus = [0]
    runs = 3
    seconds_scale = 1.0

    def __init__(self):
        self.order = []

    def turn(self):
        return Children()

    def progress(self, text):
        pass

    def sample(self, name, values):
        def run(_):
            self.order.append(name)
            return Sample(values[len(self.order) // 2 % len(values)], {"cpu_ns_per_packet": 12.0, "loss_percent": 3.0})
        return run


class Lines:
    def __init__(self, *lines):
        self.lines = list(lines)


class HarnessTest(unittest.TestCase):
    def group(self, bench, check):
        rows = [Row("ours", "Mpps", bench.sample("ours", [30.0, 40.0, 50.0])),
                Row("theirs", "Mpps", bench.sample("theirs", [60.0, 50.0, 40.0]))]
        return Group("g", "A group", rows, [check])

    def test_rows_take_turns(self):
        bench = FakeBench()
        run_group(bench, self.group(bench, Check("ours", "theirs", ">=", 0.5, "of")))
        self.assertEqual(bench.order, ["ours", "theirs"] * 3)

    def test_ratio_is_taken_round_by_round(self):
        rows = {"a": Row("a", "", None, samples=[Sample(1), Sample(2), Sample(9)]),
                "b": Row("b", "", None, samples=[Sample(2), Sample(2), Sample(3)])}
        outcome = Check("a", "b", ">=", 1.5, "").outcome(rows)
        self.assertEqual((outcome["median"], outcome["min"], outcome["max"]), (1, 0.5, 3))
        self.assertFalse(outcome["reached"])
        self.assertTrue(Check("a", "b", "<=", 1.0, "").outcome(rows)["reached"])
        self.assertIsNone(Check("a", "b", "", 0, "").outcome(rows)["reached"])

    def test_failed_row_has_no_outcome_and_says_why(self):
        def fail(_):
            raise Failed("no such program")
        group = Group("g", "A group", [Row("ours", "Mpps", fail)], [Check("ours", None, ">=", 1, "Mpps")])
        run_group(FakeBench(), group)
        self.assertIn("no such program", report.group_text(group, 3, 1))
        self.assertIn("not measured", report.group_text(group, 3, 1))

    def test_two_core_row_is_skipped_on_one_cpu(self):
        group = Group("g", "A group", [Row("ours", "Mpps", lambda _: self.fail("ran"), cpus=2)], [])
        run_group(FakeBench(), group)
        self.assertIn("needs 2 CPUs", group.rows[0].skipped)

    def test_table_fits_80_columns(self):
        bench = FakeBench()
        group = self.group(bench, Check("ours", "theirs", ">=", 0.5, "of something with a rather long name, twice as long"))
        group.rows[0].name = "x" * 60
        group.checks[0].row = "x" * 60
        run_group(bench, group)
        self.assertLessEqual(max(map(len, report.group_text(group, 5, 2.0).splitlines())), report.WIDTH)

    def test_reports_of_pkt_gen(self):
        found = pktgen.reports(Lines(
            (1.0, "12.000001 main_thread [801] 1.234 Mpps (1.310 Mpkts 629.1 Mbps in 1061000 usec) 511.99 avg_batch 0 min_space"),
            (2.0, "waiting for packets"),
            (3.0, "13.0 main_thread [801] 900.000 pps [avg/std 1.000 K/2.000 Kpps] (450.000 pkts 1.0 Kbps in 500000 usec) 1.00")))
        self.assertEqual(found, [(1.0, 1.31e6, 1.061), (3.0, 450.0, 0.5)])

    def test_children_are_stopped_and_early_ends_reported(self):
        with Children() as children:
            child = children.start(["sleep", "60"])
            pid = child.pid
            short = children.start(["sh", "-c", "echo reason; exit 3"])
            with self.assertRaisesRegex(Failed, "exit status 3.*\n.*reason"):
                short.wait_for(lambda: False, "a miracle")
        self.assertFalse(os.path.exists(f"/proc/{pid}"))

    def test_children_die_with_the_bench(self):
        here = os.path.dirname(os.path.abspath(__file__))
        program = (f"import sys; sys.path.insert(0, {here!r}); from harness.children import Child; import time\n"
                   "print(Child(['sleep', '60']).pid, flush=True); time.sleep(60)")
        parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
        deadline = time.monotonic() + 10
        while self.alive(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertFalse(self.alive(pid))

    @staticmethod
    def alive(pid):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                return file.read().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:
            return False

    def test_finish_gives_the_output(self):
        child = Child(["echo", "a=1"])
        try:
            self.assertEqual(child.finish(10), "a=1")
        finally:
            child.stop()


if __name__ == "__main__":
    unittest.main()
