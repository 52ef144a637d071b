"""Signal handlers that call the client in the middle of one of its own calls.

A tracer stands for the signal: it calls the handler before the n-th instruction of the package's code, for every n. That
is more than a real one can do: since Python 3.10 handlers run between some instructions only, on 3.9 between all.
"""

import sys
import tempfile
import time
import unittest

from support import Server, check_sum, client, eventually, run


def interrupted(call, handler, at):
    """Runs call with handler before instruction number at of the package's code. False: it has fewer."""
    left = [at]

    def step(frame, event, _):
        frame.f_trace_opcodes = True
        if event == "opcode":
            left[0] -= 1
            if left[0] == 0:
                sys.settrace(None)
                handler()
                sys.settrace(enter)  # the frames below go on being traced, to no effect
        return step

    def enter(frame, event, _):
        file = frame.f_code.co_filename
        return step(frame, event, _) if "/millstream/" in file or file.endswith("/threading.py") else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        call()
    finally:
        sys.settrace(before)
    return left[0] <= 0


class Signals(unittest.TestCase):
    def everywhere(self, call, handler, check, every=1):
        """Interrupts call at each of its instructions."""
        at = 1
        while interrupted(call, handler, at):
            check(at)
            at += every
        self.assertGreater(at, 50)

    def test_a_track_in_the_middle_of_a_track_loses_no_count(self):
        with Server() as server, client(server.url, flush_at=10**6, flush_interval=60, queue_events=10**6) as c:
            calls = [0]

            def track(name="Call"):
                calls[0] += 1
                self.assertTrue(c.track("u1", name))

            def check(at):
                stats = c.stats()
                self.assertEqual((stats.enqueued, stats.queued), (calls[0], calls[0]), at)
                self.assertEqual(stats.queued_bytes, sum(e.size for e in c._engine.queue.waiting), at)

            self.everywhere(track, lambda: track("Signal"), check)
            c.flush(20)
            self.assertEqual(len(server.accepted()), calls[0])
            self.assertEqual(c.stats().delivered, calls[0])

    def test_a_refused_track_in_the_middle_of_a_refused_one_is_counted(self):
        with Server(then=(503, {}, b"")) as server, client(server.url, queue_events=1, flush_at=10**6, flush_interval=60) as c:
            c.track("u1", "A")
            calls = [0]

            def track():
                calls[0] += 1
                self.assertFalse(c.track("u1", "B"))

            def invalid():
                calls[0] += 1
                self.assertFalse(c.track(None, "B"))

            def check(at):
                self.assertEqual(sum(c.stats().dropped_by_reason.values()), calls[0], at)

            self.everywhere(track, invalid, check)
            self.everywhere(invalid, track, check)
            check_sum(self, c.stats())

    def test_a_track_in_the_middle_of_any_other_call_is_neither_lost_nor_miscounted(self):
        with Server() as server, client(server.url, flush_at=10**6, flush_interval=60, queue_events=10**6) as c:
            calls = [0]

            def track():
                calls[0] += 1
                self.assertTrue(c.track("u1", "Signal"))

            for call in (lambda: check_sum(self, c.stats()), lambda: c.flush(20), lambda: c.consent("granted")):
                self.everywhere(call, track, lambda at: check_sum(self, c.stats()), every=3)
            c.flush(20)
            self.assertEqual((c.stats().delivered, len(server.accepted())), (calls[0], calls[0]))

    def test_with_a_spool_too(self):
        with Server() as server, tempfile.TemporaryDirectory() as folder, \
                client(server.url, spool_dir=folder, spool_fsync="always", flush_interval=0.01) as c:
            calls = [0]

            def track():
                calls[0] += 1
                self.assertTrue(c.track("u1", "Signal"))

            self.everywhere(track, track, lambda at: check_sum(self, c.stats()), every=23)
            c.flush(20)
            eventually(lambda: c.stats().delivered == calls[0])
            self.assertEqual({len(server.accepted()), len({e["messageId"] for e in server.accepted()})}, {calls[0]})

    def test_a_close_in_the_middle_of_a_track_waits_for_no_lock_of_its_own(self):
        with Server() as server:
            at = 1
            while True:
                taken, begun = [], time.monotonic()
                with client(server.url, flush_at=10**6, flush_interval=60) as c:
                    c.track("u1", "A")
                    if not interrupted(lambda: taken.append(c.track("u1", "B")), lambda: c.close(20), at):
                        break
                    self.assertLess(time.monotonic() - begun, 10)
                    check_sum(self, c.stats())
                    self.assertEqual((c.stats().delivered, c.stats().queued), (1 + taken[0], 0), at)
                at += 7
            self.assertGreater(at, 50)

    def test_real_signals_at_full_speed(self):
        with Server() as server:
            done = run("import signal, sys, time, millstream\n"
                       "c = millstream.Client('k', endpoint=sys.argv[1], queue_events=10**6)\n"
                       "made = []\n"
                       "def handle(*_): made.append(c.track('u1', 'Signal'))\n"
                       "signal.signal(signal.SIGALRM, handle); signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)\n"
                       "end = time.monotonic() + 1\n"
                       "calls = 0\n"
                       "while time.monotonic() < end: calls += c.track('u1', 'Call')\n"
                       "signal.setitimer(signal.ITIMER_REAL, 0)\n"
                       "c.close(30); assert len(made) > 10 and all(made); s = c.stats()\n"
                       "print(s.enqueued == s.delivered == len(made) + calls, s.delivered)", server.url)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(done.stdout.split(), ["True", str(len(server.accepted()))])
