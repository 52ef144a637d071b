"""flush, close and send, and what ends with them."""

import gc
import json
import threading
import time
import unittest
import weakref

from millstream import Undelivered
from support import AWAY, CUT, OK, Results, Server, check_sum, client, descriptors, eventually


def numbers(events):
    return [e["properties"]["n"] for e in events]


def paid(c, *range_):
    for n in range(*range_):
        assert c.track("u1", "Paid", {"n": n}, message_id=f"m{n}")


class FlushAndClose(unittest.TestCase):
    def test_flush_covers_what_was_enqueued_before(self):
        with Server() as server, client(server.url, flush_interval=60, batch_events=10) as c:
            paid(c, 35)
            self.assertEqual(c.flush(), 0)
            self.assertEqual(numbers(server.accepted()), list(range(35)))
            self.assertEqual(c.flush(0), 0)

    def test_flush_tells_what_is_left_at_its_deadline(self):
        with Server(then=(503, {"Retry-After": "60"}, b"")) as server, client(server.url, flush_interval=60) as c:
            paid(c, 3)
            begin = time.monotonic()
            with self.assertRaises(Undelivered) as caught:
                c.flush(0.2)
            self.assertEqual((caught.exception.queued, caught.exception.spooled), (3, 0))
            self.assertLess(time.monotonic() - begin, 2)
            self.assertEqual(len(server.requests), 1, "a Retry-After is not cut short")

    def test_flush_cuts_a_backoff_short_once(self):
        with Server((503, {}, b""), (503, {}, b"")) as server, client(server.url, backoff_base=100, backoff_max=100) as c:
            paid(c, 1)
            server.await_requests(1)
            eventually(lambda: c._engine.queue._resting)
            with self.assertRaises(Undelivered):
                c.flush(0.3)
            self.assertEqual(len(server.requests), 2)
            c.flush(5)
            self.assertEqual(len(server.requests), 3)

    def test_flushes_at_once_share_the_work(self):
        with Server() as server, client(server.url, flush_interval=60) as c:
            paid(c, 5)
            threads = [threading.Thread(target=c.flush) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(10)
            self.assertEqual(len(server.requests), 1)

    def test_close_drains_and_leaves_nothing_behind(self):
        with Server() as server:
            threads, fds = threading.active_count(), descriptors()
            c = client(server.url, flush_interval=60)
            paid(c, 3)
            self.assertEqual(c.close(), 0)
            self.assertEqual(numbers(server.accepted()), [0, 1, 2])
            eventually(lambda: threading.active_count() <= threads and descriptors() <= fds, reason="no thread, no descriptor")
            self.assertFalse(c.track("u1", "A"))
            self.assertEqual(c.send(1).track("u1", "A").code, "closed")
            self.assertEqual(c.stats().dropped_by_reason, {"closed": 2})
            self.assertEqual(c.close(), 0)

    def test_close_keeps_its_deadline_while_a_request_hangs(self):
        release = threading.Event()

        def answer(request):
            release.wait(20)
            return CUT

        results = Results()
        with Server(then=answer) as server:
            threads, fds = threading.active_count(), descriptors()
            c = client(server.url, on_result=results, timeout=20)
            paid(c, 3)
            server.await_requests(1)
            begin = time.monotonic()
            with self.assertRaises(Undelivered) as caught:
                c.close(0.2)
            self.assertLess(time.monotonic() - begin, 5)
            self.assertEqual(caught.exception.queued, 3)
            results.wait(3)
            self.assertEqual({r.code for r in results.all}, {"closed"})
            check_sum(self, c.stats())
            release.set()
            eventually(lambda: threading.active_count() <= threads and descriptors() <= fds)

    def test_a_second_close_waits_for_the_first(self):
        with Server(then=(503, {}, b"")) as server:
            c = client(server.url)
            paid(c, 1)
            ends = []

            def close():
                try:
                    c.close(0.3)
                except Undelivered as left:
                    ends.append((left.queued, time.monotonic()))

            threads = [threading.Thread(target=close) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(10)
            self.assertEqual([queued for queued, _ in ends], [1, 1, 1])
            self.assertLess(max(t for _, t in ends) - min(t for _, t in ends), 1)

    def test_close_in_on_result_ends_the_thread(self):
        results = []

        def close(told):
            results.append(c.close(5))

        with Server() as server:
            c = client(server.url, on_result=close)
            paid(c, 1)
            eventually(lambda: not any(t.name == "millstream" for t in threading.enumerate()))
            self.assertEqual(results, [0])

    def test_a_callback_that_hangs_does_not_hold_up_close(self):
        release = threading.Event()
        with Server() as server:
            c = client(server.url, on_result=lambda results: release.wait(20))
            paid(c, 1)
            server.await_requests(1)
            c.track("u1", "A")
            begin = time.monotonic()
            with self.assertRaises(Undelivered):
                c.close(0.1)
            self.assertLess(time.monotonic() - begin, 5)
            check_sum(self, c.stats())
            release.set()
            eventually(lambda: not any(t.name == "millstream" for t in threading.enumerate()))

    def test_an_unreachable_client_delivers_and_ends(self):
        with Server() as server:
            c = client(server.url, flush_interval=60)
            paid(c, 2)
            inside = weakref.ref(c._engine)
            del c
            gc.collect()
            eventually(lambda: len(server.accepted()) == 2)
            eventually(lambda: not any(t.name == "millstream" for t in threading.enumerate()))
            gc.collect()
            self.assertIsNone(inside())


class Send(unittest.TestCase):
    def test_send_returns_the_fate(self):
        rejected = json.dumps({"rejected": [{"index": 0, "messageId": "m2", "code": "bot", "message": "why"}]}).encode()
        with Server(OK, (200, {}, rejected), (503, {}, b""), OK, (401, {}, b"")) as server, client(server.url) as c:
            self.assertEqual(c.send(5).track("u1", "A", message_id="m1"), ("m1", "delivered", 1, "", ""))
            self.assertEqual(c.send(5).track("u1", "A", message_id="m2"), ("m2", "rejected", 1, "bot", "why"))
            self.assertEqual(c.send(5).identify("u1", message_id="m3")[1:3], ("delivered", 2))
            self.assertEqual(c.send(5).page("u1", message_id="m4").code, "http_401")
            self.assertEqual(c.send(5).track("u1", message_id="m5"), ("m5", "dropped", 0, "invalid", "track: needs event"))
            self.assertEqual(server.connections, 1)
            check_sum(self, c.stats())
            self.assertFalse(any(t.name == "millstream" for t in threading.enumerate()), "no thread is needed")

    def test_send_ends_at_its_deadline(self):
        with client(AWAY) as c:
            begin = time.monotonic()
            result = c.send(0.2).track("u1", "A")
            self.assertEqual((result.fate, result.code), ("dropped", "expired"))
            self.assertIn("Refused", result.message)
            self.assertTrue(0.15 < time.monotonic() - begin < 2)
            check_sum(self, c.stats())

    def test_close_ends_a_send(self):
        release = threading.Event()

        def answer(request):
            release.wait(20)
            return CUT

        with Server(then=answer) as server:
            c = client(server.url, timeout=20)
            told = []
            thread = threading.Thread(target=lambda: told.append(c.send(20).track("u1", "A")))
            thread.start()
            server.await_requests(1)
            c.close(0.1)
            thread.join(5)
            self.assertEqual(told[0].code, "closed")
            release.set()


if __name__ == "__main__":
    unittest.main()
