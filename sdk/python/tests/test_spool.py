"""The spool: durability, takeover, trouble; the crash matrix is in test_crash.py."""

import errno
import json
import os
import shutil
import socket
import tempfile
import threading
import time
import unittest
from unittest import mock

from millstream import Undelivered
from millstream import _folder
from support import AWAY, OK, Results, Server, check_sum, client, descriptors, eventually

OWNER = "aaaaaaaaaaaaaaaa"
OTHER = "bbbbbbbbbbbbbbbb"


class Folder(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def client(self, url, **options):
        made = {"spool_dir": self.dir, "spool_fsync": "always"}
        made.update(options)
        return client(url, **made)

    def names(self, end=""):
        return sorted(name for name in os.listdir(self.dir) if name.endswith(end))

    def put(self, name, text, age=0.0):
        path = os.path.join(self.dir, name)
        with open(path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        os.utime(path, (time.time() - age, time.time() - age))

    def dead(self, *lines, owner=OWNER, sequence=1, lease=None, **options):
        """A dead owner's segment."""
        text = b"".join(line if isinstance(line, bytes) else line_of(line) for line in lines)
        self.put(f"{owner}-{sequence:016d}.ndjson", text, **options)
        self.put(f"{owner}.lease", lease or lease_of(os.getpid()))

    def drained(self, count, **options):
        """What a client finds and sends; the folder must be empty then."""
        with Server() as server, self.client(server.url, **options) as c:
            eventually(lambda: len(server.accepted()) >= count, reason=f"{count} events")
            eventually(lambda: c.stats().spooled == 0)
            c.close()
            check_sum(self, c.stats())
            self.assertEqual(self.names(), [])
            return [e["properties"]["n"] for e in server.accepted()], c.stats()


def lease_of(pid, host=None, where=None):
    return f"{host or socket.gethostname()} {pid} {where or _folder.namespace()}\n"


def line_of(n):
    return json.dumps({"type": "track", "messageId": f"m{n}", "userId": "u1", "event": "A", "properties": {"n": n}}).encode() + b"\n"


def paid(c, *range_):
    for n in range(*range_):
        assert c.track("u1", "A", {"n": n}, message_id=f"m{n}")


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


class TakingOver(Folder):
    def test_a_dead_owners_events_come_first_and_oldest_first(self):
        self.dead(3, 4, owner=OTHER, sequence=7, age=50)
        self.dead(1, owner=OWNER, sequence=2, age=100)
        self.dead(2, owner=OWNER, sequence=10, age=90)
        with Server() as server, self.client(server.url) as c:
            paid(c, 5, 8)
            eventually(lambda: len(server.accepted()) == 7)
            self.assertEqual([e["properties"]["n"] for e in server.accepted()], [1, 2, 3, 4, 5, 6, 7])
            self.assertEqual(c.stats().enqueued, 7)

    def test_positions_of_several_segments_are_respected(self):
        self.dead(1, sequence=1)
        self.dead(2, 3, 4, sequence=2)
        self.put(f"{OWNER}-{2:016d}.pos", str(2 * len(line_of(1))))
        self.assertEqual(self.drained(2)[0], [1, 4])

    def test_a_torn_last_line_is_cut_off(self):
        self.dead(1, 2, line_of(3)[:-5])
        folder = _folder.Folder(self.dir)
        folder.enter()
        path = folder.take_over().segments[0].path
        folder.leave()
        self.assertEqual(os.path.getsize(path), 2 * len(line_of(1)))
        self.dead(1, 2, line_of(3)[:-5])
        os.unlink(path)
        numbers, stats = self.drained(2)
        self.assertEqual((numbers, stats.dropped), ([1, 2], 0))

    def test_lines_that_are_no_objects_are_skipped_and_counted(self):
        bad = [b"nonsense\n", b"\n", b"[1]\n", b'"text"\n', b"\xff\xfe\n", b'{"a":' * 50_000 + b"\n", b"{" + b" " * 3_000_000 + b"}\n"]
        self.dead(bad[0], 1, *bad[1:4], 2, *bad[4:], 3, b"last\n")
        numbers, stats = self.drained(3)
        self.assertEqual((numbers, stats.dropped_by_reason), ([1, 2, 3], {"spool_error": 8}))

    def test_a_folder_of_bad_lines_is_emptied(self):
        self.dead(b"bad\n", b"worse\n")
        with self.client(AWAY) as c:
            eventually(lambda: c.stats().dropped_by_reason == {"spool_error": 2})
            eventually(lambda: self.names(".ndjson") == [])

    def test_a_position_is_respected_and_an_odd_one_is_not(self):
        for position, want in (("0", [1, 2]), (str(len(line_of(1))), [2]), ("junk", [1, 2]), ("-5", [1, 2])):
            with self.subTest(position=position):
                self.dead(1, 2)
                self.put(f"{OWNER}-{1:016d}.pos", position)
                self.assertEqual(self.drained(len(want))[0], want)
        self.dead(1)
        self.put(f"{OWNER}-{1:016d}.pos", "99999")
        self.assertEqual(self.drained(0)[0], [])

    def test_who_is_dead(self):
        host = socket.gethostname()
        gone = os.fork()
        if gone == 0:
            os._exit(0)
        os.waitpid(gone, 0)
        dead = [lease_of(gone), lease_of(os.getpid()), f"{host} {gone}\n"]
        alive = [lease_of(os.getppid()), lease_of(gone, host="elsewhere"), lease_of(gone, where="other/1"), lease_of(gone, where="-"),
                 lease_of(os.getpid(), where="other/1"), "", "nonsense", f"{host} x\n", lease_of("x")]
        for lease in dead + alive:
            with self.subTest(lease=lease):
                self.dead(1, lease=lease or "\n")
                self.assertEqual(self.found(), [1] if lease in dead else [0])
        self.dead(1)
        os.unlink(os.path.join(self.dir, OWNER + ".lease"))
        self.assertEqual(self.found(), [1], "no lease: it has left")

    def test_age_alone_takes_two_looks(self):
        def age(seconds):
            os.utime(os.path.join(self.dir, OWNER + ".lease"), (time.time() - seconds,) * 2)

        for seconds, want in ((61, [0, 0, 1]), (-3600, [0, 0, 1]), (50, [0, 0, 0])):
            with self.subTest(age=seconds):
                self.dead(1, lease=lease_of(1, host="elsewhere"))
                age(seconds)
                self.assertEqual(self.found(0, 10, 12), want)
        with self.subTest("one that is touched between the looks lives, whatever the clocks say"):
            self.dead(1, lease=lease_of(1, host="elsewhere"))
            age(120)
            touches = iter((110, 100, 90))
            self.assertEqual(self.found(0, 10, 20, 30, between=lambda: age(next(touches))), [0, 0, 0, 0])

    def found(self, *looks, between=lambda: None):
        """Events that looks at these times take over."""
        folder = _folder.Folder(self.dir)
        folder.enter()
        events = []
        start = time.monotonic()
        for seconds in looks or (0,):
            if events:
                between()
            with mock.patch.object(_folder.time, "monotonic", lambda: start + seconds):
                events.append(folder.take_over().events)
        folder.leave()
        for name in self.names():
            os.unlink(os.path.join(self.dir, name))
        return events

    def test_two_clients_of_a_process_leave_each_other_alone(self):
        with Server() as server, self.client(AWAY) as away:
            paid(away, 5)
            with self.client(server.url) as c:
                paid(c, 100, 105)
                c.flush()
                eventually(lambda: len(server.accepted()) == 5)
            self.assertEqual(sorted(e["properties"]["n"] for e in server.accepted()), list(range(100, 105)))
            away.close(0)
        self.assertEqual(self.drained(5)[0], list(range(5)))

    def test_of_two_lookers_one_wins_each_segment(self):
        for n in range(200):
            self.dead(n, owner=f"{n:016x}")
        folders = [_folder.Folder(self.dir) for _ in range(4)]
        for folder in folders:
            folder.enter()
        found = []
        threads = [threading.Thread(target=lambda f=f: found.append(f.take_over().events)) for f in folders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sum(found), 200)
        self.assertEqual(len(self.names(".ndjson")), 200)

    def test_what_the_dead_left_beside_segments_is_removed_and_strangers_stay(self):
        self.put(f"{OWNER}-{3:016d}.pos", "7")
        self.put(f"{OWNER}-{4:016d}.pos.tmp", "7")
        self.put(f"{OWNER}.lease", lease_of(os.getpid()))
        self.put("README", "mine")
        with self.client(AWAY) as c:
            eventually(lambda: len(self.names()) == 2)
        self.assertEqual(self.names(), ["README"])
        self.assertEqual(c.stats().enqueued, 0)

    def test_events_of_a_spool_expire_by_the_age_of_their_file(self):
        self.dead(1, age=100)
        self.dead(2, owner=OTHER)
        with Server() as server, self.client(server.url, max_age=50) as c:
            eventually(lambda: c.stats().dropped_by_reason == {"expired": 1})
            eventually(lambda: len(server.accepted()) == 1)

    def thief(self):
        """Another process, to whom each lease looks dead."""
        folder = _folder.Folder(self.dir)
        with mock.patch.object(_folder, "_alive_here", set()), mock.patch.object(_folder, "_runs", lambda pid: False):
            folder.enter()
            found = folder.take_over()
        _folder._alive_here.add(folder.owner)
        self.addCleanup(folder.leave)
        return folder, found.events

    def test_a_living_owner_whose_files_are_taken_loses_nothing(self):
        for fsync in ("always", "interval"):
            with self.subTest(fsync=fsync), Server(then=(503, {}, b"")) as server:
                shutil.rmtree(self.dir)
                os.mkdir(self.dir)
                with self.client(server.url, queue_events=10, spool_fsync=fsync, overflow="block") as c:
                    paid(c, 50)
                    c.flush(5)
                    taker, events = self.thief()
                    self.assertEqual(events, 50)
                    paid(c, 50, 100)
                    c.flush(5)
                    self.assertGreater(c.stats().handed_over, 0)
                    check_sum(self, c.stats())
                    server.then = OK
                    eventually(lambda: c.stats().in_flight + c.stats().queued + c.stats().spooled == 0)
                    check_sum(self, c.stats())
                taker.leave()
                with self.client(server.url) as c:
                    eventually(lambda: {e["properties"]["n"] for e in server.accepted()} == set(range(100)), reason="each event")
                    eventually(lambda: c.stats().spooled + c.stats().in_flight == 0)

    def test_an_idle_owner_notices_with_its_next_touch(self):
        with mock.patch("millstream._spool._TOUCH", 0.05), Server(then=(503, {}, b"")) as server:
            with self.client(server.url) as c:
                paid(c, 5)
                self.assertEqual(self.thief()[1], 5)
                eventually(lambda: len(self.names(".lease")) == 2 and len(self.names(".ndjson")) == 2, reason="written again")

    def test_thieves_at_every_write_mean_memory_only(self):
        with mock.patch.object(_folder.Segment, "ours", False), Server() as server, self.client(server.url) as c:
            paid(c, 5)
            eventually(lambda: len(server.accepted()) >= 5)
            self.assertIn("other owners", c.stats().last_error)


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
