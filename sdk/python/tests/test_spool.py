"""The spool: durability and trouble; what the dead left is in test_takeover.py, the crash matrix in test_crash.py."""

import errno
import json
import os
import shutil
import threading
import time
from unittest import mock

from folder import Folder, paid
from millstream import Undelivered, _folder
from support import AWAY, OK, Results, Server, check_sum, client, descriptors, eventually


class Keeping(Folder):
    def test_what_close_leaves_is_sent_by_the_next_client(self):
        for fsync in ("always", "interval", "never"):
            with self.subTest(fsync=fsync):
                c = self.client(AWAY, spool_fsync=fsync)
                paid(c, 20)
                self.assertEqual(c.close(0.05), 20)
                self.assertEqual((c.stats().spooled, c.stats().dropped), (20, 0))
                check_sum(self, c.stats())
                self.assertEqual(len(self.names(".ndjson")), 1)
                self.assertEqual(self.names(".lease"), [])
                self.assertEqual(self.drained(20)[0], list(range(20)))

    def test_a_call_returns_when_its_event_is_synced(self):
        c = self.client(AWAY)
        for n in range(5):
            paid(c, n, n + 1)
            with open(os.path.join(self.dir, self.names(".ndjson")[0]), "rb") as file:
                self.assertEqual([json.loads(line)["properties"]["n"] for line in file], list(range(n + 1)))
        c.close(0)

    def test_always_syncs_the_file_before_the_call_returns(self):
        synced, real = [], os.fsync

        def noted(fd):
            real(fd)
            synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{fd}")))

        with mock.patch.object(os, "fsync", noted):
            c = self.client(AWAY)
            for n in range(3):
                paid(c, n, n + 1)
                self.assertEqual(synced.count(self.names(".ndjson")[0]), n + 1)
            c.close(0)

    def test_a_slow_disk_makes_no_call_wait_unless_it_was_asked_to(self):
        real = os.write

        def slow(fd, data):
            time.sleep(0.5)
            return real(fd, data)

        with mock.patch.object(os, "write", slow), self.client(AWAY, spool_fsync="interval", queue_events=50) as c:
            slowest = 0.0
            for n in range(200):
                begin = time.monotonic()
                c.track("u1", "A", {"n": n})
                slowest = max(slowest, time.monotonic() - begin)
            self.assertLess(slowest, 0.4)
            self.assertGreater(c.stats().dropped_by_reason["queue_full"], 0)
            check_sum(self, c.stats())

    def test_a_segment_goes_on_while_events_come(self):
        with Server() as server, self.client(server.url, spool_fsync="interval") as c:
            created = mock.patch.object(c._engine.queue.spool._folder, "create", wraps=c._engine.queue.spool._folder.create)
            with created as create:
                for n in range(5):
                    paid(c, n, n + 1)
                    c.flush()
                    time.sleep(0.3)
                self.assertEqual(create.call_count, 1)
            eventually(lambda: self.names(".ndjson") == [], reason="an idle client's folder is empty")

    def test_flush_returns_when_events_are_synced(self):
        c = self.client(AWAY, spool_fsync="interval")
        paid(c, 10)
        self.assertEqual(c.flush(5), 10)
        stats = c.stats()
        self.assertEqual((stats.queued, stats.spooled + stats.in_flight), (0, 10))
        check_sum(self, stats)
        c.close(0)

    def test_memory_holds_a_part_and_the_disk_the_rest_in_order(self):
        with Server(then=(503, {}, b"")) as server, self.client(server.url, spool_fsync="interval", queue_events=40, overflow="block") as c:
            for n in range(1000):
                self.assertTrue(c.track("u1", "A", {"n": n}))
                self.assertLessEqual(len(c._engine.queue.waiting) + len(c._engine.queue.spool.ahead), 40)
            self.assertEqual(c.flush(10), 1000)
            check_sum(self, c.stats())
            server.then = OK
            eventually(lambda: len(server.accepted()) == 1000)
            paid(c, 1000, 1010)
            c.flush()
            eventually(lambda: len(server.accepted()) == 1010)
            self.assertEqual([e["properties"]["n"] for e in server.accepted()], list(range(1010)))
            eventually(lambda: self.names(".ndjson") == [], reason="delivered segments are removed")

    def test_the_bound_of_the_folder_refuses(self):
        c = self.client(AWAY, spool_bytes=5000)
        accepted = sum(c.track("u1", "A", {"n": n}) for n in range(100))
        self.assertTrue(10 < accepted < 30)
        self.assertEqual(c.stats().dropped_by_reason, {"spool_full": 100 - accepted})
        check_sum(self, c.stats())
        self.assertLessEqual(sum(os.path.getsize(os.path.join(self.dir, n)) for n in self.names(".ndjson")), 5000)
        c.close(0)
        self.assertEqual(self.drained(accepted)[0], list(range(accepted)))

    def test_room_returns_as_events_are_delivered(self):
        with Server() as server, self.client(server.url, spool_bytes=5000, spool_fsync="interval") as c:
            total = 0
            end = time.monotonic() + 20
            while total < 100 and time.monotonic() < end:
                total += c.track("u1", "A", {"n": total})
            self.assertEqual(total, 100)
            c.flush()

    def test_progress_is_recorded_and_respected(self):
        with Server(OK, then=(503, {}, b"")) as server:
            c = self.client(server.url, batch_events=3)
            c.consent("pending")
            paid(c, 10)
            c.consent("granted")
            server.await_requests(2)
            c.close(0.05)
            done = [e["properties"]["n"] for e in server.accepted()]
            self.assertEqual(done, [0, 1, 2])
            self.assertEqual(len(self.names(".pos")), 1)
        self.assertEqual(self.drained(7)[0], list(range(3, 10)))

    def test_pending_consent_keeps_events_off_the_disk(self):
        with Server() as server, self.client(server.url, consent="pending") as c:
            paid(c, 3)
            self.assertEqual(self.names(), [])
            c.consent("granted")
            c.flush()
            eventually(lambda: len(server.accepted()) == 3)

    def test_denied_consent_empties_the_spool(self):
        self.dead(1, 2)
        c = self.client(AWAY, queue_events=10, overflow="block")
        for n in range(100, 200):
            c.track("u1", "A", {"n": n})
        c.consent("denied")
        eventually(lambda: c.stats().spooled + c.stats().in_flight + c.stats().queued == 0)
        self.assertEqual(c.stats().dropped_by_reason, {"consent": 102})
        check_sum(self, c.stats())
        c.close()
        self.assertEqual(self.names(), [])

    def test_close_leaves_no_thread_and_no_descriptor(self):
        with Server() as server:
            threads, fds = threading.active_count(), descriptors()
            c = self.client(server.url)
            paid(c, 10)
            c.close()
            eventually(lambda: threading.active_count() <= threads and descriptors() <= fds)

    def test_a_forked_child_is_an_owner_of_its_own(self):
        with Server() as server, self.client(server.url) as c:
            paid(c, 5)
            owner = self.names(".lease")
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    paid(c, 100, 105)
                    assert len(self.names(".lease")) == 2 and owner[0] in self.names(".lease")
                    c.close(10)
                    assert c.stats().delivered == 5
                    code = 0
                finally:
                    os._exit(code)
            self.assertEqual(os.waitpid(pid, 0)[1], 0)
            paid(c, 5, 10)
            c.flush()
            eventually(lambda: len(server.accepted()) == 15)
            self.assertEqual(sorted(e["properties"]["n"] for e in server.accepted()), [*range(10), *range(100, 105)])


class Trouble(Folder):
    def failing(self, name, error, times=10**9):
        real, left = getattr(os, name), [times]

        def fail(*args, **kwargs):
            if left[0] > 0 and threading.current_thread().name == "millstream-spool":
                left[0] -= 1
                raise OSError(error, os.strerror(error))
            return real(*args, **kwargs)

        return mock.patch.object(os, name, fail)

    def test_a_full_disk_means_memory_only(self):
        for name, error in (("write", errno.ENOSPC), ("fsync", errno.EIO), ("open", errno.EROFS), ("makedirs", errno.EACCES)):
            with self.subTest(name=name), Server() as server, self.failing(name, error):
                shutil.rmtree(self.dir, ignore_errors=True)
                with self.assertLogs("millstream", "WARNING") as logs:
                    c = self.client(server.url, queue_events=50)
                    paid(c, 5)
                    c.flush()
                    self.assertIn(os.strerror(error), c.stats().last_error)
                    eventually(lambda: len(server.accepted()) == 5)
                    c.close()
                self.assertEqual(sum("spool" in line for line in logs.output), 1)
                check_sum(self, c.stats())
                self.assertEqual(c.stats().dropped, 0)

    def test_memory_only_has_the_queues_bound(self):
        with self.failing("write", errno.ENOSPC), self.client(AWAY, queue_events=30) as c:
            accepted = sum(c.track("u1", "A", {"n": n}) for n in range(100))
            self.assertLessEqual(accepted, 30)
            self.assertEqual(c.stats().dropped_by_reason, {"queue_full": 100 - accepted})
            with self.assertRaises(Undelivered) as left:
                c.close(0)
            self.assertEqual((left.exception.queued, left.exception.spooled), (accepted, 0))
            check_sum(self, c.stats())

    def test_a_disk_that_recovers_is_used_again(self):
        with mock.patch("millstream._spool._RETRY", 0.05), self.failing("write", errno.ENOSPC, 3):
            c = self.client(AWAY)
            paid(c, 10)
            self.assertEqual(c.flush(10), 10)
            self.assertEqual(c.close(0), 10)
        self.assertEqual(self.drained(10)[0], list(range(10)))

    def test_a_write_that_breaks_off_leaves_no_torn_line(self):
        real = os.write
        broken = [0]

        def half(fd, data):
            if threading.current_thread().name == "millstream-spool" and broken[0] < 2:
                broken[0] += 1
                if broken[0] == 2:
                    raise OSError(errno.ENOSPC, "full")
                return real(fd, data[: len(data) // 2])
            return real(fd, data)

        with mock.patch("millstream._spool._RETRY", 0.05), mock.patch.object(os, "write", half):
            c = self.client(AWAY)
            paid(c, 3)
            self.assertEqual(c.flush(10), 3)
            self.assertEqual(c.close(0), 3)
        self.assertEqual(self.drained(3)[0], [0, 1, 2])

    def test_files_that_vanish_hang_nothing(self):
        with Server(then=(503, {}, b"")) as server, self.client(server.url, queue_events=10, spool_fsync="interval", overflow="block") as c:
            for n in range(100):
                c.track("u1", "A", {"n": n})
            c.flush()
            for name in self.names(".ndjson"):
                os.unlink(os.path.join(self.dir, name))
            server.then = OK
            eventually(lambda: c.stats().in_flight + c.stats().queued + c.stats().spooled == 0)
            paid(c, 100, 105)
            c.flush()
            eventually(lambda: len(server.accepted()) >= 5)
            check_sum(self, c.stats())

    def test_a_folder_that_is_a_file_means_memory_only(self):
        path = os.path.join(self.dir, "file")
        self.put("file", "x")
        with Server() as server, self.client(server.url, spool_dir=path) as c:
            paid(c, 3)
            eventually(lambda: len(server.accepted()) == 3)
            self.assertIn("spool: ", c.stats().last_error)

    def test_a_slow_disk_delays_no_delivery(self):
        real = os.fsync

        def slow(fd):
            time.sleep(0.3)
            real(fd)

        results = Results()
        with mock.patch.object(os, "fsync", slow), Server() as server:
            with self.client(server.url, spool_fsync="interval", on_result=results) as c:
                paid(c, 10)
                results.wait(10, 5)


if __name__ == "__main__":
    unittest.main()
