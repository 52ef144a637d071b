"""Values to bytes."""

import dataclasses
import enum
import json
import math
import os
import random
import time
import unittest
from collections import OrderedDict
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from types import MappingProxyType
from unittest import mock
from uuid import UUID

from millstream import _encode
from millstream._encode import Invalid, encode, instant, stamp


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Money:
    amount: Decimal
    currency: str


def text(value):
    return encode({"v": value})[0].decode("utf-8")


def carefully(value):
    """What the careful encoder makes of it."""
    with mock.patch.object(_encode, "_fast", side_effect=ValueError):
        return encode({"v": value})


class Values(unittest.TestCase):
    def test_values_have_their_json_text(self):
        zone = timezone(timedelta(hours=2))
        cases = [
            (9007199254740993, "9007199254740993"),
            (-(2**200), str(-(2**200))),
            (True, "true"), (None, "null"), (12.5, "12.5"), (1e300, "1e+300"), (-0.0, "-0.0"),
            (Decimal("12.50"), "12.50"), (Decimal("1E+5"), "1E+5"), (Decimal("-0"), "-0"),
            (datetime(2026, 3, 1, 12, 0, tzinfo=zone), '"2026-03-01T10:00:00.000Z"'),
            (datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=zone), '"2026-03-01T10:00:00.123456Z"'),
            (datetime(1, 1, 2, tzinfo=timezone.utc), '"0001-01-02T00:00:00.000Z"'),
            (date(2026, 3, 1), '"2026-03-01"'),
            (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
            ("é€😀", '"é€😀"'), ("\x00\n\"\\/", '"\\u0000\\n\\"\\\\/"'),
            (Colour.RED, '"red"'), (Level.HIGH, "3"),
            (Money(Decimal("1.10"), "EUR"), '{"amount":1.10,"currency":"EUR"}'),
            ((1, [2]), "[1,[2]]"), ({7}, "[7]"), (frozenset(), "[]"),
            (OrderedDict(b=1, a={}), '{"b":1,"a":{}}'), (MappingProxyType({"a": 1}), '{"a":1}'),
            ({1: "a", None: "b", True: "c", 1.5: "d"}, None),
            ({}, "{}"), ([], "[]"),
        ]
        for value, want in cases:
            with self.subTest(value=value):
                if want is not None:
                    self.assertEqual(text(value), '{"v":' + want + "}")
                self.assertEqual(carefully(value)[0].decode("utf-8"), text(value), "both encoders agree")

    def test_both_encoders_agree_on_random_events(self):
        rng = random.Random(4)

        def value(depth):
            kind = rng.randrange(8 if depth < 5 else 5)
            if kind == 0:
                return rng.choice([None, True, False])
            if kind == 1:
                return rng.randrange(-(10**20), 10**20)
            if kind == 2:
                return rng.uniform(-1e6, 1e6) * 10 ** rng.randrange(-20, 20)
            if kind in (3, 4):
                return "".join(chr(rng.choice([rng.randrange(0x20), rng.randrange(0x80), rng.randrange(0xD800), 0x1F600])) for _ in range(8))
            if kind == 5:
                return [value(depth + 1) for _ in range(rng.randrange(4))]
            return {str(rng.random()): value(depth + 1) for _ in range(rng.randrange(4))}

        for _ in range(300):
            event = value(0)
            fast, careful = encode({"v": event}), carefully(event)
            self.assertEqual(fast, careful)
            self.assertEqual(json.loads(fast[0]), {"v": event})

    def test_a_naive_time_is_local(self):
        before = os.environ.get("TZ")
        try:
            os.environ["TZ"] = "Europe/Vienna"
            time.tzset()
            self.assertEqual(instant(datetime(2026, 7, 1, 12, 0)), "2026-07-01T10:00:00.000Z")
        finally:
            os.environ.pop("TZ")
            if before is not None:
                os.environ["TZ"] = before
            time.tzset()

    def test_not_a_number_becomes_null_and_is_counted(self):
        body, coerced = encode({"v": [math.nan, math.inf, -math.inf, Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity"), 1]})
        self.assertEqual(body, b'{"v":[null,null,null,null,null,null,1]}')
        self.assertEqual(coerced, 6)

    def test_an_integer_beyond_pythons_limit_is_exact(self):
        self.assertEqual(text(10**6000), '{"v":1' + "0" * 6000 + "}")
        with self.assertRaises(Invalid):
            encode({"v": 1 << 900_000})

    def test_a_lone_surrogate_is_escaped(self):
        for value in ("\ud800", "a\udfffb", {"\ud800": 1}):
            with self.subTest(value=value):
                body = encode({"v": value})[0]
                self.assertEqual(json.loads(body.decode("utf-8")), {"v": value})
                self.assertEqual(carefully(value)[0], body)

    def test_depth_counts_the_event_itself(self):
        def nested(levels):
            value = {}
            for i in range(levels - 1):
                value = {"d": value} if i % 2 else [value]
            return value

        encode({"v": nested(199)})
        for levels in (200, 900, 100_000):
            with self.subTest(levels=levels), self.assertRaisesRegex(Invalid, "deeper than 200"):
                encode({"v": nested(levels)})
        encode({"v": "{" * 1000})  # braces in text are no depth

    def test_what_has_no_json_form_is_invalid(self):
        cycle = {}
        cycle["self"] = [cycle]

        class Odd:
            pass

        for value in (cycle, len, Odd(), Odd, b"bytes", 1j, {(1, 2): 3}, timedelta(1), Money):
            with self.subTest(value=type(value)), self.assertRaises(Invalid):
                encode({"v": value})

    def test_times_of_the_clock_have_milliseconds(self):
        self.assertEqual(stamp(1772359200.123), "2026-03-01T10:00:00.123Z")
        self.assertEqual(stamp(0.9996), "1970-01-01T00:00:01.000Z")


if __name__ == "__main__":
    unittest.main()
