"""Memory with the server away: the queue's bound, and little beside it."""

import gc
import tracemalloc
import unittest

from support import AWAY, Server, check_sum, client

MIB = 1024 * 1024


class Memory(unittest.TestCase):
    def test_the_bound_holds_while_the_server_is_away(self):
        properties = {"order": "o-1", "total": 12.5, "items": 3, "paid": True, "text": "x" * 1500}
        with client(AWAY, queue_events=2000, queue_bytes=2 * MIB) as c:
            gc.collect()
            tracemalloc.start()
            try:
                for _ in range(8_000):
                    c.track("u1", "Order Completed", properties)
                self.assertLessEqual(c.stats().queued_bytes, 2 * MIB)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            self.assertLess(peak, (2 + 8) * MIB)
            check_sum(self, c.stats())
            self.assertGreater(c.stats().dropped_by_reason["queue_full"], 5_000)
            c._engine.close(0)

    def test_nothing_stays_behind_what_was_delivered(self):
        with Server() as server, client(server.url) as c:
            def round_of(events):
                for _ in range(events):
                    c.track("u1", "A", {"text": "x" * 500})
                c.flush(30)
                server.requests.clear()
                gc.collect()

            round_of(1000)
            tracemalloc.start()
            try:
                before = tracemalloc.get_traced_memory()[0]
                for _ in range(4):
                    round_of(1000)
                grown = tracemalloc.get_traced_memory()[0] - before
            finally:
                tracemalloc.stop()
            self.assertLess(grown, MIB // 4)


if __name__ == "__main__":
    unittest.main()
