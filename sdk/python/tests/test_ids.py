"""Message ids."""

import unittest
from uuid import UUID

from millstream._ids import IdSource


class Ids(unittest.TestCase):
    def test_ten_thousand_in_a_millisecond_are_distinct_and_rise(self):
        source = IdSource()
        ids = [source.new(1_772_359_200_000) for _ in range(10_000)]
        self.assertEqual(len(set(ids)), len(ids))
        self.assertEqual(sorted(ids), ids)
        for text in ids:
            made = UUID(text)
            self.assertEqual((made.version, made.variant, str(made)), (7, "specified in RFC 4122", text))
        self.assertGreaterEqual(UUID(ids[-1]).int >> 80, 1_772_359_200_002, "full counters borrow milliseconds")

    def test_a_new_millisecond_starts_in_the_lower_half(self):
        source = IdSource()
        counters = [int(source.new(1000 + i)[15:18], 16) for i in range(500)]
        self.assertLess(max(counters), 2048)
        self.assertGreater(len(set(counters)), 100)

    def test_a_clock_that_steps_back_makes_no_earlier_id(self):
        source = IdSource()
        first = source.new(2_000)
        self.assertGreater(source.new(1_000), first)
        self.assertGreater(source.new(2_001), first)


if __name__ == "__main__":
    unittest.main()
