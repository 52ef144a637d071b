"""The crash matrix: a process ends before and after each durable step of the spool, and nothing of a returned call is lost."""

import os
import shutil
import signal
import tempfile
import time
import traceback
import unittest
from unittest import mock

from support import AWAY, OK, Server, client, eventually

# What the spool does with files; each is a moment to die before or after.
STEPS = ("makedirs", "utime", "open", "write", "fsync", "replace", "rename", "unlink", "ftruncate")
KILLED = 77


def arm(step, when, nth):
    """The nth call of os.<step> ends the process."""
    real, count = getattr(os, step), [0]

    def call(*args, **kwargs):
        count[0] += 1
        if count[0] == nth and when == "before":
            os._exit(KILLED)
        result = real(*args, **kwargs)
        if count[0] == nth and when == "after":
            os._exit(KILLED)
        return result

    setattr(os, step, call)


def in_child(action):
    """Forks, and returns what the child wrote, and its exit code."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reader)
            action(writer)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        told = file.read()
    return told, os.WEXITSTATUS(os.waitpid(pid, 0)[1])


@unittest.skipUnless(hasattr(os, "fork"), "needs fork")
class Crash(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def leave(self, *numbers):
        """Events of a process that ended by close, without having sent them."""
        c = client(AWAY, spool_dir=self.dir)
        for n in numbers:
            c.track("u1", "A", {"n": n})
        c.close(0)

    def story(self, step, when, nth):
        """A process finds old events, takes new ones, and dies; another one finds what is left."""
        shutil.rmtree(self.dir)
        with Server(OK, OK, then=(503, {}, b"")) as server:
            self.leave(1, 2, 3)

            def run(pipe):
                tell = os.write  # the real one
                arm(step, when, nth)
                c = client(server.url, spool_dir=self.dir, spool_fsync="always", batch_events=3, flush_at=1)
                for n in range(4, 16):
                    if c.track("u1", "A", {"n": n}):
                        tell(pipe, b"%d " % n)
                c.close(0.3)

            told, code = in_child(run)
            self.assertIn(code, (0, KILLED), (step, when, nth))
            promised = {1, 2, 3, *map(int, told.split())}
            server.then = OK

            heir = client(server.url, spool_dir=self.dir)
            heir.track("u1", "A", {"n": 99})  # after all that the dead left
            try:
                eventually(lambda: {99, *promised} <= {e["properties"]["n"] for e in server.accepted()},
                           reason=f"{step} {when} {nth}: {sorted(promised)}")
            finally:
                heir.close(5)
            self.assertEqual(os.listdir(self.dir), [], (step, when, nth))
            accepted = server.accepted()
            ids = {}
            for e in accepted:
                self.assertEqual(ids.setdefault(e["properties"]["n"], e["messageId"]), e["messageId"], "one id for ever")
            return code

    def test_no_step_loses_an_event_of_a_returned_call(self):
        killed = {}
        for step in STEPS:
            for when in ("before", "after"):
                for nth in (1, 2, 4):
                    with self.subTest(step=step, when=when, nth=nth):
                        killed.setdefault(step, []).append(self.story(step, when, nth) == KILLED)
        for step in ("makedirs", "utime", "open", "write", "fsync", "rename", "unlink"):
            self.assertTrue(any(killed[step]), f"{step} was never reached")

    def test_a_process_that_dies_without_close_loses_nothing_synced(self):
        def run(pipe):
            c = client(AWAY, spool_dir=self.dir, spool_fsync="always")
            for n in range(50):
                assert c.track("u1", "A", {"n": n})
            os._exit(KILLED)

        self.assertEqual(in_child(run)[1], KILLED)
        with Server() as server, client(server.url, spool_dir=self.dir) as c:
            eventually(lambda: len(server.accepted()) == 50)
            self.assertEqual([e["properties"]["n"] for e in server.accepted()], list(range(50)))

    def test_a_process_that_was_stopped_and_goes_on_loses_nothing(self):
        quick = [
            mock.patch("millstream._folder.LEASE_SECONDS", 0.5), mock.patch("millstream._folder.SUSPECT_SECONDS", 0.6),
            mock.patch("millstream._spool.SUSPECT_SECONDS", 0.6), mock.patch("millstream._spool._TOUCH", 0.1),
            mock.patch("millstream._spool._LOOK", 0.3), mock.patch("millstream._folder.namespace", lambda: "-"),
        ]
        for patch in quick:
            patch.start()
            self.addCleanup(patch.stop)
        with Server(then=(503, {}, b"")) as server:
            reader, writer = os.pipe()
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    c = client(server.url, spool_dir=self.dir, queue_events=10, overflow="block")
                    for n in range(300):
                        assert c.track("u1", "A", {"n": n})
                        if n == 100:
                            c.flush(5)
                            os.write(writer, b"!")
                        time.sleep(0.002)
                    c.close(0.2)
                    code = 0
                finally:
                    os._exit(code)
            self.assertEqual(os.read(reader, 1), b"!")
            os.kill(pid, signal.SIGSTOP)
            with client(server.url, spool_dir=self.dir) as taker:
                try:
                    eventually(lambda: taker.stats().enqueued > 0, reason="the stopped owner's events")
                finally:
                    os.kill(pid, signal.SIGCONT)
                self.assertEqual(os.waitpid(pid, 0)[1], 0)
                server.then = OK
                eventually(lambda: {e["properties"]["n"] for e in server.accepted()} == set(range(300)), reason="all events")
            os.close(reader)
            os.close(writer)

    def test_interval_costs_a_tenth_of_a_second_at_most(self):
        def run(pipe):
            c = client(AWAY, spool_dir=self.dir)
            for n in range(50):
                assert c.track("u1", "A", {"n": n})
            time.sleep(1)
            os._exit(KILLED)

        in_child(run)
        with Server() as server, client(server.url, spool_dir=self.dir) as c:
            eventually(lambda: len(server.accepted()) == 50)


if __name__ == "__main__":
    unittest.main()
