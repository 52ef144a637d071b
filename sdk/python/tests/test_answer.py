"""The retry matrix and its times."""

import json
import random
import unittest

from millstream._answer import Answer, Backoff, Verdict, describe, judge, rejections, retry_after


class Matrix(unittest.TestCase):
    def test_each_status_has_its_verdict(self):
        table = {
            Verdict.DONE: (200, 201, 202, 204, 299),
            Verdict.RETRY: (0, 429, 502, 503, 504),
            Verdict.RETRY_COUNTED: (301, 302, 304, 307, 308, 408, 425, 500, 506, 507, 511, 599),
            Verdict.SPLIT: (413,),
            Verdict.DROP: (400, 401, 403, 404, 405, 410, 415, 422, 451, 499, 501, 505),
        }
        for verdict, statuses in table.items():
            for status in statuses:
                with self.subTest(status=status):
                    self.assertIs(judge(status), verdict)

    def test_retry_after_is_read_in_both_forms_and_bounded(self):
        now = 1772359200.0
        cases = [
            ("1", 1.0), (" 7 ", 7.0), ("0", 0.0), ("9999", 300.0), ("9" * 400, 300.0), ("-1", None), ("1.5", None), ("", None), (None, None),
            ("soon", None), ("²", None), ("Sun, 01 Mar 2026 10:00:05 GMT", 5.0), ("Sun, 01 Mar 2026 09:00:00 GMT", 0.0),
            ("Sun, 01 Mar 2027 10:00:00 GMT", 300.0), ("Sun, 99 Mar 2026 10:00:05 GMT", None),
        ]
        for text, want in cases:
            with self.subTest(text=text):
                self.assertEqual(retry_after(text, now), want)

    def test_backoff_is_spread_within_its_bounds(self):
        backoff = Backoff(0.5, 60.0, random=random.Random(1))
        for tries, top in ((1, 1.0), (2, 2.0), (7, 60.0), (5000, 60.0)):
            delays = [backoff.delay(tries, None) for _ in range(200)]
            self.assertTrue(all(0.1 <= d <= top for d in delays))
            self.assertLess(min(delays), top * 0.2)
            self.assertGreater(max(delays), top * 0.8)

    def test_retry_after_is_the_least_delay_plus_a_tenth_at_most(self):
        backoff = Backoff(0.5, 60.0, random=random.Random(1))
        delays = [backoff.delay(1, 30.0) for _ in range(200)]
        self.assertTrue(all(30.0 <= d <= 33.0 for d in delays))
        self.assertGreater(len(set(delays)), 100)
        self.assertGreater(max(backoff.delay(7, 1.0) for _ in range(200)), 30.0, "the backoff still holds")

    def test_rejections_name_their_event(self):
        ids = ["a", "b", "x" * 300]
        listed = [
            {"index": 0, "messageId": "a", "code": "c0", "message": "m0"},
            {"index": 1, "messageId": "other", "code": "c1"},
            {"index": 2, "messageId": "x" * 250, "code": "c2"},
            {"index": 3, "code": "beyond"}, {"index": -1, "code": "before"}, {"index": True, "code": "bool"}, {"index": "0"}, 7, None,
        ]
        found = rejections(Answer(200, json.dumps({"rejected": listed}).encode()), ids)
        self.assertEqual(found, {0: ("c0", "m0"), 2: ("c2", "")})

    def test_an_unreadable_200_rejects_nothing(self):
        for body in (b"", b"<html>", b"[]", b"null", b'{"rejected":3}', b'{"rejected":{"index":0}}', b"\xff", b"[" * 100_000):
            with self.subTest(body=body[:20]):
                self.assertEqual(rejections(Answer(200, body), ["a"]), {})
        self.assertEqual(rejections(Answer(202, b'{"rejected":[{"index":0}]}'), ["a"]), {})

    def test_errors_are_described_in_a_line(self):
        self.assertEqual(describe(Answer(0, error="ConnectionRefusedError: refused")), "ConnectionRefusedError: refused")
        self.assertEqual(describe(Answer(401, b'{"code":"unknown_write_key","message":"no such key"}')), "HTTP 401: no such key")
        self.assertEqual(describe(Answer(502, b"<html>")), "HTTP 502")


if __name__ == "__main__":
    unittest.main()
