"""Batches, retries, fates and bounds against a scripted server."""

import json
import threading
import time
import unittest

from millstream import Undelivered
from millstream._options import Hooks
from support import AWAY, CUT, OK, Results, Server, check_sum, client, eventually


def numbers(events):
    return [e["properties"]["n"] for e in events]


def paid(c, *range_):
    for n in range(*range_):
        assert c.track("u1", "Paid", {"n": n}, message_id=f"m{n}")


class Batches(unittest.TestCase):
    def test_a_batch_goes_when_enough_events_wait(self):
        with Server() as server, client(server.url, flush_at=3, flush_interval=60) as c:
            paid(c, 2)
            time.sleep(0.1)
            self.assertEqual(server.requests, [])
            paid(c, 2, 3)
            server.await_requests(1)
            self.assertEqual(numbers(server.requests[0].events), [0, 1, 2])

    def test_a_batch_goes_some_time_after_its_first_event(self):
        with Server() as server, client(server.url, flush_at=1000, flush_interval=0.2) as c:
            begin = time.monotonic()
            paid(c, 2)
            server.await_requests(1)
            self.assertGreaterEqual(server.requests[0].at - begin, 0.2)

    def test_no_request_is_larger_than_its_bounds(self):
        with Server() as server, client(server.url, batch_bytes=2000, batch_events=5, flush_interval=60, gzip=False) as c:
            c.consent("pending")
            for n in range(40):
                c.track("u1", "Paid", {"n": n, "v": "é" * (n * 13 % 300)})
            c.track("u1", "Paid", {"n": 40, "v": "x" * 3000})
            c.consent("granted")
            c.flush()
            self.assertEqual(numbers(server.accepted()), list(range(41)))
            for r in server.requests:
                self.assertTrue(len(r.raw) <= 2000 or len(r.events) == 1)
                self.assertLessEqual(len(r.events), 5)
                self.assertEqual(int(r.headers["Content-Length"]), len(r.raw))
            self.assertGreater(max(len(r.raw) for r in server.requests), 1500, "batches are filled")

    def test_the_request_is_as_specified(self):
        with Server() as server, client(server.url + "/collect/", _hooks=Hooks(now=lambda: 1772359200.0)) as c:
            paid(c, 1)
            c.flush()
            r = server.requests[0]
            self.assertEqual(r.path, "/collect/v1/batch")
            self.assertEqual(r.headers, {
                "Host": server.url[7:], "Accept-Encoding": "identity", "Content-Length": str(len(r.raw)),
                "Authorization": "Basic V1JJVEVfS0VZOg==", "Content-Type": "application/json", "User-Agent": "millstream-python/0.1.0",
            })
            self.assertEqual([*r.json], ["sentAt", "batch"])
            self.assertEqual(r.json["sentAt"], "2026-03-01T10:00:00.000Z")

    def test_bodies_of_a_kibibyte_are_compressed(self):
        with Server() as server, client(server.url) as c, client(server.url, gzip=False) as plain:
            for size, sender, packed in ((100, c, None), (2000, c, "gzip"), (2000, plain, None)):
                sender.track("u1", "A", {"v": "x" * size})
                sender.flush()
                self.assertEqual(server.requests[-1].headers.get("Content-Encoding"), packed)
                self.assertEqual(server.requests[-1].events[0]["properties"]["v"], "x" * size)

    def test_one_batch_is_in_flight_and_order_holds_over_retries(self):
        flying, most = [], []

        def answer(request):
            flying.append(1)
            most.append(len(flying))
            time.sleep(0.002)
            flying.pop()
            return (503, {}, b"") if len(most) % 3 else OK

        with Server(then=answer) as server, client(server.url, flush_at=1, batch_events=7) as c:
            paid(c, 60)
            c.flush(30)
            self.assertEqual(numbers(server.accepted()), list(range(60)))
            self.assertEqual(max(most), 1)


class Retries(unittest.TestCase):
    def test_a_retry_repeats_the_batch_with_a_new_time(self):
        times = iter(range(1_000_000))
        results = Results()
        script = [(500, {}, b""), (500, {}, b"")]
        with Server(*script) as server, client(server.url, on_result=results, _hooks=Hooks(now=lambda: float(next(times)))) as c:
            paid(c, 3)
            results.wait(3)
            self.assertEqual([r.headers.get("X-Retry-Count") for r in server.requests], [None, "1", "2"])
            self.assertEqual(len({json.dumps(r.events) for r in server.requests}), 1)
            self.assertEqual(len({r.json["sentAt"] for r in server.requests}), 3)
            self.assertEqual([(r.message_id, r.fate, r.attempts) for r in results.all], [(f"m{n}", "delivered", 3) for n in range(3)])
            self.assertEqual(c.stats().retries, 2)

    def test_counted_answers_end_a_batch_and_the_next_goes_on(self):
        results = Results()
        for status in (500, 408, 425, 507, 302):
            with self.subTest(status=status), Server(*[(status, {"Location": AWAY}, b"")] * 4) as server:
                results = Results()
                with client(server.url, on_result=results, max_attempts=4, batch_events=1) as c:
                    paid(c, 2)
                    results.wait(2)
                    self.assertEqual([(r.fate, r.code, r.attempts) for r in results.all],
                                     [("dropped", "max_attempts", 4), ("delivered", "", 1)])
                    self.assertIn(str(status), results.all[0].message)

    def test_a_server_that_is_away_does_not_count(self):
        for item in ((429, {}, b""), (502, {}, b""), (503, {}, b""), (504, {}, b""), CUT):
            with self.subTest(item=item), Server(*[item] * 20) as server:
                results = Results()
                with client(server.url, on_result=results, max_attempts=2) as c:
                    paid(c, 1)
                    self.assertEqual(results.wait(1)[0][1:4], ("delivered", 21, ""))

    def test_hopeless_answers_drop_the_batch_at_once(self):
        for status in (400, 401, 403, 404, 405, 415, 422, 501, 505):
            with self.subTest(status=status), Server((status, {}, b'{"code":"c","message":"why"}')) as server:
                results = Results()
                with client(server.url, on_result=results) as c, self.assertLogs("millstream", "WARNING") as logs:
                    paid(c, 1)
                    self.assertEqual(results.wait(1)[0], ("m0", "dropped", 1, f"http_{status}", f"HTTP {status}: why"))
                self.assertNotIn("WRITE_KEY", str(logs.output))
                self.assertEqual(len(server.requests), 1)

    def test_413_halves_until_it_passes_and_keeps_the_order(self):
        def answer(request):
            return (413, {}, b"") if len(request.events) > 3 or 7 in numbers(request.events) else OK

        results = Results()
        with Server(then=answer) as server, client(server.url, on_result=results, flush_interval=0.1) as c:
            paid(c, 20)
            results.wait(20)
            self.assertEqual(numbers(server.accepted()), [n for n in range(20) if n != 7])
            self.assertEqual([r.message_id for r in results.all], [f"m{n}" for n in range(20)])
            self.assertEqual((results.all[7].fate, results.all[7].code), ("dropped", "http_413"))

    def test_retry_after_is_the_least_delay(self):
        hooks = Hooks(retry_after_scale=0.1)
        with Server((429, {"Retry-After": "3"}, b"")) as server, client(server.url, _hooks=hooks) as c:
            paid(c, 1)
            server.await_requests(2)
            self.assertGreaterEqual(server.requests[1].at - server.requests[0].at, 0.3)

    def test_fates_of_a_200_are_those_of_its_events(self):
        body = json.dumps({"success": True, "rejected": [{"index": 1, "messageId": "m1", "code": "plan_violation", "message": "why"}]})
        results = Results()
        with Server((200, {}, body.encode())) as server, client(server.url, on_result=results) as c:
            paid(c, 3)
            results.wait(3)
            self.assertEqual([tuple(r)[1:] for r in results.all],
                             [("delivered", 1, "", ""), ("rejected", 1, "plan_violation", "why"), ("delivered", 1, "", "")])
            stats = c.stats()
            self.assertEqual((stats.delivered, stats.rejected), (2, 1))
            check_sum(self, stats)

    def test_other_successes_and_unreadable_bodies_are_delivered(self):
        for answer in ((204, {}, b""), (202, {}, b"later"), (200, {}, b"<html>"), (200, {}, b"")):
            with self.subTest(answer=answer), Server(answer) as server, client(server.url) as c:
                paid(c, 1)
                c.flush()
                self.assertEqual(c.stats().delivered, 1)

    def test_events_expire_by_age(self):
        results = Results()
        with client(AWAY, on_result=results, max_age=0.2) as c:
            begin = time.monotonic()
            paid(c, 2)
            results.wait(2)
            self.assertGreaterEqual(time.monotonic() - begin, 0.2)
            self.assertEqual({(r.fate, r.code) for r in results.all}, {("dropped", "expired")})

    def test_a_callback_that_throws_is_counted(self):
        def broken(results):
            raise RuntimeError

        with Server() as server, client(server.url, on_result=broken, batch_events=1) as c:
            with self.assertLogs("millstream", "WARNING") as logs:
                paid(c, 3)
                c.flush()
                eventually(lambda: c.stats().callback_errors == 3)
            self.assertEqual(c.stats().delivered, 3)
            self.assertEqual(len(logs.records), 1)


    def test_a_callback_that_exits_ends_nothing(self):
        def leave(results):
            raise SystemExit(1)

        with Server() as server, client(server.url, on_result=leave, batch_events=1, flush_at=1) as c:
            with self.assertLogs("millstream", "WARNING"):
                paid(c, 5)
                c.flush()
                eventually(lambda: c.stats().callback_errors == 5)
            self.assertEqual(c.stats().delivered, 5)

    def test_a_thread_that_dies_is_replaced_and_loses_nothing(self):
        with Server() as server, client(server.url, flush_interval=60) as c:
            sender, dead = c._engine._sender, []
            deliver = sender._deliver

            def once(batch):
                if not dead:
                    dead.append(batch)
                    raise MemoryError
                deliver(batch)

            sender._deliver = once
            with self.assertLogs("millstream", "WARNING"):
                paid(c, 3)
                with self.assertRaises(Undelivered) as left:
                    c.flush(0.5)
                self.assertEqual(left.exception.queued, 3)
            check_sum(self, c.stats())
            paid(c, 3, 5)
            c.flush()
            self.assertEqual(numbers(server.accepted()), list(range(5)))

    def test_close_after_a_death_delivers_or_tells(self):
        with Server() as server:
            for alive in (True, False):
                results = Results()
                c = client(server.url, on_result=results, flush_interval=60)
                calls = []

                def broken(batch, sender=c._engine._sender, deliver=c._engine._sender._deliver):
                    calls.append(1)
                    if len(calls) == 1 or not alive:
                        raise MemoryError
                    deliver(batch)

                c._engine._sender._deliver = broken
                with self.assertLogs("millstream", "WARNING"):
                    paid(c, 2)
                    try:
                        c.flush(0.3)
                    except Undelivered:
                        pass
                    if alive:
                        self.assertEqual(c.close(), 0)
                    else:
                        with self.assertRaises(Undelivered):
                            c.close(1)
                self.assertEqual({r.fate for r in results.wait(2)}, {"delivered" if alive else "dropped"})
                check_sum(self, c.stats())


class Bounds(unittest.TestCase):
    def test_a_full_queue_refuses_and_sums_hold(self):
        with client(AWAY, queue_events=50) as c:
            accepted = sum(c.track("u1", "A", {"n": n}) for n in range(2000))
            stats = c.stats()
            self.assertEqual(accepted, 50)
            self.assertEqual((stats.enqueued, stats.dropped_by_reason), (2000, {"queue_full": 1950}))
            check_sum(self, stats)
        check_sum(self, c.stats())
        self.assertEqual(c.stats().dropped_by_reason, {"queue_full": 1950, "closed": 50})

    def test_bytes_in_flight_count(self):
        release = threading.Event()

        def answer(request):
            release.wait(10)
            return OK

        with Server(then=answer) as server, client(server.url, queue_bytes=3000) as c:
            c.track("u1", "A", {"v": "x" * 2000})
            server.await_requests(1)
            self.assertFalse(c.track("u1", "A", {"v": "x" * 2000}))
            self.assertLessEqual(c.stats().queued_bytes, 3000)
            release.set()
            c.flush()
            self.assertTrue(c.track("u1", "A", {"v": "x" * 2000}))

    def test_block_waits_for_room_and_no_longer(self):
        release = threading.Event()

        def answer(request):
            release.wait(10)
            return OK

        with Server(then=answer) as server, client(server.url, queue_events=1, overflow="block", block_timeout=0.1) as c:
            self.assertTrue(c.track("u1", "A"))
            begin = time.monotonic()
            self.assertFalse(c.track("u1", "A"))
            self.assertGreaterEqual(time.monotonic() - begin, 0.1)
            release.set()
            c.flush()
        with Server() as server, client(server.url, queue_events=5, overflow="block", block_timeout=10) as c:
            paid(c, 100)
            c.flush()
            self.assertEqual(numbers(server.accepted()), list(range(100)))

    def test_a_call_from_on_result_never_waits_for_its_own_thread(self):
        made = []

        def again(results):
            if len(made) < 3:
                made.append(c.track("u1", "Again"))
                try:
                    c.flush(10)
                except Undelivered:
                    made.append("not now")

        with Server() as server, client(server.url, queue_events=1, overflow="block", block_timeout=10, on_result=again) as c:
            begin = time.monotonic()
            c.track("u1", "A")
            eventually(lambda: len(server.accepted()) >= 2)
            self.assertLess(time.monotonic() - begin, 5)


if __name__ == "__main__":
    unittest.main()
