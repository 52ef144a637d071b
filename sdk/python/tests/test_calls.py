"""What event calls take, refuse and send."""

import inspect
import math
import threading
import unittest
from datetime import datetime, timezone
from decimal import Decimal
from uuid import UUID

from millstream import Client, __version__
from millstream._options import Hooks
from support import AWAY, Results, Server, check_sum, client, eventually

NOW = datetime(2026, 3, 1, 10, tzinfo=timezone.utc)


def sent(*calls, **options):
    """The events that a server gets of the calls."""
    with Server() as server:
        with client(server.url, **options) as c:
            for call in calls:
                call(c)
        return [e for r in server.requests for e in r.events]


class Calls(unittest.TestCase):
    def test_arguments_have_segments_order_and_names(self):
        tail = ["context", "timestamp", "anonymous_id", "integrations", "message_id"]
        signatures = {
            "identify": ["user_id", "traits", *tail],
            "track": ["user_id", "event", "properties", *tail],
            "page": ["user_id", "category", "name", "properties", *tail],
            "screen": ["user_id", "category", "name", "properties", *tail],
            "group": ["user_id", "group_id", "traits", *tail],
            "alias": ["previous_id", "user_id", "context", "timestamp", "integrations", "message_id"],
        }
        for name, want in signatures.items():
            self.assertEqual([*inspect.signature(getattr(Client, name)).parameters][1:], want)

    def test_the_six_calls_make_their_events(self):
        hooks = Hooks(now=lambda: NOW.timestamp())
        events = sent(
            lambda c: c.identify("u1", {"plan": "pro"}, message_id="1"),
            lambda c: c.track("u1", "Paid", {"n": 1}, {"app": "a"}, NOW, "anon", {"All": False}, "2"),
            lambda c: c.page(None, "Docs", "Start", {"p": 1}, anonymous_id="anon", message_id="3"),
            lambda c: c.screen("u1", name="Home", message_id="4"),
            lambda c: c.group("u1", "g1", {"name": "G"}, message_id="5"),
            lambda c: c.alias("old", "u1", message_id="6"),
            _hooks=hooks,
        )
        library = {"library": {"name": "millstream-python", "version": __version__}}
        at = "2026-03-01T10:00:00.000Z"
        self.assertEqual(events, [
            {"type": "identify", "messageId": "1", "timestamp": at, "userId": "u1", "traits": {"plan": "pro"}, "context": library},
            {"type": "track", "messageId": "2", "timestamp": at, "userId": "u1", "anonymousId": "anon", "event": "Paid",
             "properties": {"n": 1}, "context": {**library, "app": "a"}, "integrations": {"All": False}},
            {"type": "page", "messageId": "3", "timestamp": at, "anonymousId": "anon", "category": "Docs", "name": "Start",
             "properties": {"p": 1}, "context": library},
            {"type": "screen", "messageId": "4", "timestamp": at, "userId": "u1", "name": "Home", "context": library},
            {"type": "group", "messageId": "5", "timestamp": at, "userId": "u1", "groupId": "g1", "traits": {"name": "G"},
             "context": library},
            {"type": "alias", "messageId": "6", "timestamp": at, "userId": "u1", "previousId": "old", "context": library},
        ])

    def test_ids_may_be_integers_and_uuids(self):
        events = sent(lambda c: c.track(7, "A"), lambda c: c.track(None, "A", anonymous_id=UUID(int=1)))
        self.assertEqual(events[0]["userId"], "7")
        self.assertEqual(events[1]["anonymousId"], str(UUID(int=1)))

    def test_what_is_missing_or_wrong_is_invalid(self):
        wrong = [
            lambda c: c.track("u1"), lambda c: c.track(None, "A"), lambda c: c.track("", "A"), lambda c: c.track("u1", ""),
            lambda c: c.track("u1", 5), lambda c: c.track(True, "A"), lambda c: c.track(1.5, "A"), lambda c: c.group("u1"),
            lambda c: c.alias("old"), lambda c: c.alias(None, "u1"), lambda c: c.track("u1", "A", "text"),
            lambda c: c.track("u1", "A", {"f": len}), lambda c: c.track("u1", "A", timestamp=5), lambda c: c.track("u1", "A", context=[]),
            lambda c: c.track("u1", "A", message_id=5), lambda c: c.identify("u1", [1]), lambda c: c.page("u1", 3),
            lambda c: c.track("u1", "A", Hostile(a=1)),
        ]
        c = client(AWAY)
        with self.assertLogs("millstream", "WARNING") as logs:
            for call in wrong:
                self.assertIs(call(c), False)
        self.assertEqual(len(logs.records), 1, "one line a minute")
        stats = c.stats()
        self.assertEqual(stats.dropped_by_reason, {"invalid": len(wrong)})
        self.assertEqual(stats.queued, 0)
        check_sum(self, stats)
        c.close(0)

    def test_contexts_are_merged_one_level_deep(self):
        events = sent(
            lambda c: c.track("u1", "A", context={"app": {"name": "call"}, "page": {}}),
            lambda c: c.track("u1", "A"), context={"app": {"name": "client", "version": 1}, "os": "x"},
        )
        library = {"name": "millstream-python", "version": __version__}
        self.assertEqual(events[0]["context"], {"library": library, "app": {"name": "call"}, "os": "x", "page": {}})
        self.assertEqual(events[1]["context"], {"library": library, "app": {"name": "client", "version": 1}, "os": "x"})

    def test_later_changes_have_no_effect(self):
        given = {"list": [1], "d": {"a": 1}}
        shared = {"app": {"name": "a"}}

        def call(c):
            c.track("u1", "A", given, given)
            given["list"].append(2)
            given["d"]["b"] = given["new"] = 2
            shared["app"]["name"] = "b"
            c.track("u1", "B")

        events = sent(call, context=shared)
        self.assertEqual(events[0]["properties"], {"list": [1], "d": {"a": 1}})
        self.assertEqual(events[1]["context"]["app"], {"name": "a"})

    def test_an_event_of_256_kib_passes_and_one_byte_more_does_not(self):
        with Server() as server, client(server.url) as c:
            self.assertTrue(c.track("u1", "A", {"v": ""}, message_id="size"))
            server.await_requests(1)
            base = len(server.requests[0].body) - len('{"sentAt":"2026-03-01T10:00:00.000Z","batch":[]}')
            timestamp = server.requests[0].events[0]["timestamp"]
            for char, width in (("x", 1), ("é", 2), ("€", 3), ("😀", 4)):
                room = 256 * 1024 - base
                text = char * (room // width) + "x" * (room % width)
                self.assertTrue(c.track("u1", "A", {"v": text}, message_id="size", timestamp=timestamp), char)
                self.assertFalse(c.track("u1", "A", {"v": text + "x"}, message_id="size", timestamp=timestamp), char)
            self.assertEqual(c.stats().dropped_by_reason, {"too_large": 4})

    def test_coerced_numbers_are_counted(self):
        with Server() as server, client(server.url) as c:
            c.track("u1", "A", {"v": [math.nan, Decimal("1.10")]})
            c.flush()
            self.assertIn(b'"v":[null,1.10]', server.requests[0].body)
            self.assertEqual(c.stats().coerced, 1)

    def test_options_out_of_range_are_all_named(self):
        with self.assertRaises(ValueError) as caught:
            Client("a:b", endpoint="ftp://x", flush_at=0, overflow="no", consent="x", spool_fsync="y", backoff_base=-1, proxy="socks://a")
        for name in ("write_key", "endpoint", "flush_at", "overflow", "consent", "spool_fsync", "backoff_base", "proxy"):
            self.assertIn(name + ": must be", str(caught.exception))
        self.assertNotIn("a:b", str(caught.exception))

    def test_options_of_another_type_are_named(self):
        wrong = {
            "write_key": None, "endpoint": 3, "flush_at": "100", "batch_bytes": 1.5, "timeout": "10", "flush_interval": float("nan"),
            "spool_dir": 1, "on_result": 3, "context": [], "middleware": [3], "gzip": 1, "proxy": 0, "ssl_context": "x", "max_age": "1",
            "queue_events": True,
        }
        for name, value in wrong.items():
            with self.subTest(name=name), self.assertRaisesRegex(ValueError, f"^{name}: must be "):
                Client(**{"write_key": "k", "endpoint": "http://h", name: value})
        for endpoint in ("http://h/?x=1", "http://h#a", "http://u:p@h", "h", "", "http://", "http://h:0", "http://h:x"):
            with self.subTest(endpoint=endpoint), self.assertRaisesRegex(ValueError, "^endpoint: must be like"):
                Client("k", endpoint=endpoint)


class Hostile(dict):
    """Arguments may run code of their own."""

    def items(self):
        raise ZeroDivisionError


class MiddlewareOrder(unittest.TestCase):
    def test_middleware_changes_the_event_and_not_the_callers_objects(self):
        given = {"email": "a@b", "deep": {"email": "c@d"}, "list": [{"email": "e"}]}

        def redact(event):
            event["properties"].pop("email")
            event["properties"]["deep"].pop("email")
            event["properties"]["list"][0].pop("email")
            return event

        def rename(event):
            return {**event, "event": event["event"] + "!"}

        events = sent(lambda c: c.track("u1", "A", given), middleware=[redact, rename])
        self.assertEqual((events[0]["event"], events[0]["properties"]), ("A!", {"deep": {}, "list": [{}]}))
        self.assertEqual(given, {"email": "a@b", "deep": {"email": "c@d"}, "list": [{"email": "e"}]})

    def test_middleware_that_refuses_or_throws_leaks_nothing(self):
        def guard(event):
            if event["event"] == "Secret":
                raise RuntimeError("about secret@example.com")
            return None if event["event"] == "No" else event

        with Server() as server, client(server.url, middleware=[guard]) as c, self.assertLogs("millstream", "WARNING") as logs:
            self.assertEqual([c.track("u1", name) for name in ("Secret", "No", "Yes")], [False, False, True])
            c.flush()
            stats = c.stats()
            self.assertEqual(stats.dropped_by_reason, {"middleware": 2})
            self.assertEqual(stats.callback_errors, 1)
            self.assertEqual([e["event"] for e in server.accepted()], ["Yes"])
            self.assertNotIn("secret@", str(stats) + str(logs.output))

    def test_what_middleware_breaks_is_invalid(self):
        def strip(event):
            event.pop("userId")
            return event

        with client(AWAY, middleware=[strip]) as c:
            self.assertFalse(c.track("u1", "A"))
            self.assertEqual(c.stats().dropped_by_reason, {"invalid": 1})


class Consent(unittest.TestCase):
    def test_pending_events_wait_in_memory_and_are_sent_when_granted(self):
        with Server() as server, client(server.url, consent="pending") as c:
            accepted = [c.track("u1", "A", {"n": n}) for n in range(1005)]
            self.assertEqual(accepted, [True] * 1000 + [False] * 5)
            self.assertEqual(c.stats().queued, 1000)
            c.consent("granted", {"Analytics": True})
            c.track("u1", "B")
            c.flush()
            events = server.accepted()
            self.assertEqual([e["properties"]["n"] for e in events[:-1]], list(range(1000)))
            self.assertEqual(events[-1]["context"]["consent"], {"categoryPreferences": {"Analytics": True}})

    def test_denied_drops_what_waits_and_refuses_what_comes(self):
        results = Results()
        with Server() as server, client(server.url, consent="pending", on_result=results) as c:
            c.track("u1", "A", message_id="1")
            c.consent("denied")
            self.assertFalse(c.track("u1", "A"))
            self.assertEqual(c.send(1).track("u1", "A").code, "consent")
            results.wait(1)
            self.assertEqual([tuple(r)[:4] for r in results.all], [("1", "dropped", 0, "consent")])
            self.assertEqual(c.stats().dropped_by_reason, {"consent": 3})
            self.assertEqual(server.requests, [])
            check_sum(self, c.stats())
            c.consent("granted")
            self.assertTrue(c.track("u1", "A"))

    def test_denied_ends_the_retries_of_a_batch(self):
        results = Results()
        with Server(then=(503, {}, b"")) as server, client(server.url, on_result=results) as c:
            c.track("u1", "A")
            server.await_requests(2)
            c.consent("denied")
            self.assertEqual(results.wait(1)[0].code, "consent")

    def test_an_unknown_state_is_an_error(self):
        with client(AWAY) as c, self.assertRaisesRegex(ValueError, "consent: must be one of"):
            c.consent("maybe")


class Threads(unittest.TestCase):
    def test_eight_threads_lose_nothing(self):
        with Server() as server, client(server.url, queue_events=100_000) as c:
            def work(t):
                for n in range(1000):
                    c.track(f"u{t}", "A", {"n": n})

            threads = [threading.Thread(target=work, args=(t,)) for t in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            c.flush(30)
            events = server.accepted()
            self.assertEqual(len({e["messageId"] for e in events}), 8000)
            for t in range(8):
                self.assertEqual([e["properties"]["n"] for e in events if e["userId"] == f"u{t}"], list(range(1000)))

    def test_the_first_event_starts_the_one_thread(self):
        before = threading.active_count()
        with Server() as server:
            alone = threading.active_count()
            c = client(server.url)
            self.assertEqual(threading.active_count(), alone)
            c.track("u1", "A")
            c.flush()
            self.assertEqual(sum(t.name == "millstream" for t in threading.enumerate()), 1)
            c.close()
            self.assertEqual(sum(t.name == "millstream" for t in threading.enumerate()), 0)
        self.assertLessEqual(threading.active_count(), before + 1)

    def test_an_idle_thread_waits_without_end(self):
        with Server() as server, client(server.url) as c:
            work, waits = c._engine.queue._work, []
            wait = work.wait

            def noted(timeout=None):
                waits.append(timeout)
                return wait(timeout)

            work.wait = noted
            for n in range(3):
                c.track("u1", "A")
                c.flush()
                eventually(lambda: waits and waits[-1] is None, reason="a wait without time-out")


if __name__ == "__main__":
    unittest.main()
