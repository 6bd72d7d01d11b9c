# SPDX-License-Identifier: BSD-2-Clause
"""Ports, rings, requests and the daemon's answers, against a daemon of the test's own (UNETMAP_SOCKET)."""
import asyncio
import doctest
import errno
import gc
import threading
import unittest

import unetmap
import unetmap.daemon
import unetmap.port

HEAD = b"\xff" * 6 + b"\x02\x00\x00\x00\x00\x01" + b"\x88\xb5"


def frame(number: int, length: int = 60) -> bytes:
    return (HEAD + number.to_bytes(4, "big") + bytes(range(256)) * 300)[:length]


def collect(port: unetmap.Port, count: int) -> list:
    found: list = []
    while len(found) < count and port.wait_rx(20):
        found += [bytes(view) for view in port.receive()]
    port.sync_rx()  # gives the slots back: a full ring would lose what comes next
    return found


class PairOfPorts(unittest.TestCase):
    def setUp(self) -> None:
        name = f"valepy{self.id().rsplit('.', 1)[1][:40]}"
        self.a, self.b = unetmap.Port(name + ":a"), unetmap.Port(name + ":b")

    def tearDown(self) -> None:
        self.a.close()
        self.b.close()

    def test_every_length(self) -> None:
        frames = [frame(n, length) for n, length in enumerate([14, 15, 59, 60, 61, 1514, 2047, 2048, 2111, 2112, 2113, 4224, 4225, 65000])]
        self.a.send_all(frames)
        self.assertEqual(collect(self.b, len(frames)), frames)

    def test_ring_wraps(self) -> None:
        for start in range(0, 5000, 700):
            frames = [frame(start + i) for i in range(700)]
            self.a.send_all(frames)
            self.assertEqual(collect(self.b, 700), frames)

    def test_batch_takes_what_fits(self) -> None:
        ring = self.a.tx[0]
        self.assertEqual(self.a.send_batch([frame(i) for i in range(3 * ring.num_slots)]), ring.num_slots - 1)
        self.assertEqual(len(ring), 0)
        self.assertFalse(self.a.send(frame(0)))
        self.a.flush(20)
        self.assertEqual(len(ring), ring.num_slots - 1)

    def test_limit_leaves_the_rest(self) -> None:
        self.a.send_all([frame(i) for i in range(10)])
        self.assertTrue(self.b.wait_rx(20))
        self.assertEqual([bytes(v) for v in self.b.receive(3)], [frame(i) for i in range(3)])
        self.assertEqual([bytes(v) for v in self.b.receive()], [frame(i) for i in range(3, 10)])

    def test_wrong_frames(self) -> None:
        for wrong in (b"", bytes(65 * 2112)):
            with self.assertRaises(ValueError):
                self.a.send_batch([frame(1), wrong])
            self.a.sync_tx()
            self.assertEqual(collect(self.b, 1), [frame(1)])
        with self.assertRaises(ValueError):
            self.a.tx[0].advance(5000)

    def test_views_outlive_the_port(self) -> None:
        self.a.send_all([frame(7)])
        self.assertTrue(self.b.wait_rx(20))
        view = next(self.b.receive())
        ring = self.b.rx[0]
        self.b.close()
        gc.collect()
        self.assertEqual(len(bytes(view)), 60)  # no crash: nobody's memory now, but memory
        self.assertEqual(len(ring.buffers), ring.nbufs * ring.buf_size)
        with self.assertRaises(ValueError):
            self.b.wait_rx(0)
        self.b.close()

    def test_waits_end_in_time(self) -> None:
        self.assertFalse(self.b.wait_rx(0))
        self.assertFalse(self.b.wait_rx(0.01))
        self.assertTrue(self.a.wait_tx(0))

    def test_threads_wait_without_holding_each_other(self) -> None:
        found: list = []
        reader = threading.Thread(target=lambda: found.extend(collect(self.b, 1)))
        reader.start()
        self.a.send_all([frame(1)])
        reader.join(30)
        self.assertEqual(found, [frame(1)])

    def test_asyncio(self) -> None:
        async def read(count: int) -> list:
            found = []
            async for one in self.b.frames():
                found.append(one)
                if len(found) == count:
                    return found
            return found

        async def both() -> list:
            waiting = asyncio.create_task(self.b.readable())
            await asyncio.sleep(0)
            waiting.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await waiting
            reader = asyncio.create_task(read(5))
            await self.a.writable()
            self.a.send_all([frame(i) for i in range(5)])
            return await asyncio.wait_for(reader, 30)

        self.assertEqual(asyncio.run(both()), [frame(i) for i in range(5)])

    def test_requests(self) -> None:
        info = unetmap.port_info(self.a.name)
        self.assertEqual((info["nr_tx_slots"], info["nr_rx_rings"], info["nr_mem_id"]), (self.a.tx[0].num_slots, 1, self.a.mem_id))
        self.assertLessEqual({self.a.name, self.b.name}, {port["name"] for port in unetmap.switch_ports()})
        self.assertEqual(unetmap.header_length(self.a.name), 0)
        with self.assertRaises(unetmap.Error) as caught:
            unetmap.detach("valepynone:x")
        self.assertIn("valepynone", str(caught.exception))

    def test_daemon(self) -> None:
        with unetmap.Daemon() as daemon:
            self.assertIn(self.a.name, {port["name"] for port in daemon.ports()})
            daemon.set(self.b.name, lossless=True)
            self.assertTrue(next(port for port in daemon.ports() if port["name"] == self.b.name)["lossless"])
            self.a.send_all([frame(i) for i in range(4)])
            collect(self.b, 4)
            self.assertEqual(daemon.stats(self.b.name)[self.b.name]["rx"]["packets"], 4)
            self.assertEqual([entry["mac"] for entry in daemon.fdb(self.a.name.split(":")[0])], ["02:00:00:00:00:01"])
            with self.assertRaises(unetmap.Error) as caught:
                daemon.set(self.b.name, colour="red")
            self.assertEqual(caught.exception.errno, errno.EINVAL)
            with self.assertRaises(unetmap.Error):
                daemon.query("nonsense")


class Errors(unittest.TestCase):
    def test_what_cannot_be_opened(self) -> None:
        for spec, code, word in (("vale0:a/q", errno.EINVAL, "flag"), ("netmap:nosuch0", errno.ENXIO, "nosuch0"), ("", errno.EINVAL, "")):
            with self.subTest(spec), self.assertRaises(unetmap.Error) as caught:
                unetmap.Port(spec)
            self.assertEqual(caught.exception.errno, code)
            self.assertIn(word, str(caught.exception))

    def test_names_are_not_cut(self) -> None:
        for call in (unetmap.Port, unetmap.new_port, unetmap.attach, unetmap.port_info):
            with self.subTest(call), self.assertRaises(ValueError):
                call("vale0:a\0b")

    def test_no_daemon(self) -> None:
        with self.assertRaises(unetmap.Error) as caught:
            unetmap.Daemon("/nonexistent/socket")
        self.assertIn("no daemon at /nonexistent/socket", str(caught.exception))


class Documentation(unittest.TestCase):
    def test_examples(self) -> None:
        for module in (unetmap.port, unetmap.daemon):
            outcome = doctest.testmod(module)
            self.assertGreater(outcome.attempted, 0)
            self.assertEqual(outcome.failed, 0)


if __name__ == "__main__":
    unittest.main()
