"""Who is dead, and what becomes of the events that a dead owner has left."""

import errno
import os
import shutil
import socket
import threading
import time
from unittest import mock

from folder import Folder, lease_of, line_of, OTHER, OWNER, paid
from millstream import _folder
from support import AWAY, OK, Server, check_sum, client, eventually


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
        dead = [lease_of(gone), lease_of(os.getpid())]
        alive = [f"{host} {gone}\n", lease_of(os.getppid()), lease_of(gone, host="elsewhere"), lease_of(gone, where="other/1"), lease_of(gone, where="-"),
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

    def test_a_segment_that_cannot_be_read_stays_its_owners_until_a_later_look(self):
        self.dead(1, 2, sequence=1)
        self.dead(3, sequence=2)
        self.put(f"{OWNER}-{1:016d}.pos", str(len(line_of(1))))
        with Server() as server:
            with mock.patch.object(_folder, "_count_lines", side_effect=OSError(errno.EMFILE, "too many open files")):
                c = self.client(server.url)
                self.addCleanup(c.close)
                eventually(lambda: "too many" in (c.stats().last_error or ""))
            self.assertEqual(c.stats().enqueued, 0)
            self.assertTrue({f"{OWNER}-{1:016d}.ndjson", f"{OWNER}-{1:016d}.pos", f"{OWNER}-{2:016d}.ndjson"} <= set(self.names()))
            with c._engine.queue.lock:
                c._engine.queue.spool._look_at = 0.0
                c._engine.queue.spool.hurry()
            eventually(lambda: c.stats().delivered == 2)
            c.close()
            self.assertEqual([e["properties"]["n"] for e in server.accepted()], [2, 3])
            self.assertEqual(self.names(), [])

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


if __name__ == "__main__":
    unittest.main()
