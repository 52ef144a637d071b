"""Import, fork, exit: what a process sees of the package."""

import ast
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import millstream
from support import AWAY, ROOT, Server, check_sum, client, run

def in_child(action):
    """Forks; the exit code of the child is 0 if the action returned."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            action()
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


class Package(unittest.TestCase):
    def test_the_sources_are_python_3_9(self):
        for path in sorted((ROOT / "src").rglob("*.py")):
            with self.subTest(path=path.name):
                ast.parse(path.read_text("utf-8"), feature_version=(3, 9))

    def test_nothing_but_the_standard_library_is_imported(self):
        known = getattr(sys, "stdlib_module_names", None)
        if known is None:
            self.skipTest("Python 3.10 tells the names")
        for path in sorted((ROOT / "src").rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
                for name in names:
                    self.assertIn(name.split(".")[0], known, path.name)

    def test_importing_starts_nothing(self):
        done = run("import atexit, os, threading\n"
                   "hooks = atexit._ncallbacks()\n"
                   "import logging, concurrent.futures; base = atexit._ncallbacks()\n"
                   "import millstream\n"
                   "assert threading.active_count() == 1 and atexit._ncallbacks() == base, atexit._ncallbacks()")
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_types_are_shipped_and_the_version_is_one(self):
        self.assertTrue((ROOT / "src/millstream/py.typed").exists())
        self.assertIn(f'"{millstream.__version__}"', (ROOT / "src/millstream/_version.py").read_text())
        for name in millstream.__all__:
            self.assertTrue(hasattr(millstream, name), name)

    def test_files_stay_small(self):
        for path in sorted((ROOT / "src").rglob("*.py")):
            self.assertLessEqual(len(path.read_text("utf-8").splitlines()), 400, path.name)


class Exit(unittest.TestCase):
    def test_a_program_that_ends_delivers_what_it_queued(self):
        with Server() as server:
            done = run("import sys, millstream\n"
                       "c = millstream.Client('k', endpoint=sys.argv[1], flush_interval=60)\n"
                       "d = millstream.Client('k', endpoint=sys.argv[1], flush_interval=60)\n"
                       "c.track('u1', 'A'); d.track('u1', 'B')", server.url)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual({e["event"] for e in server.accepted()}, {"A", "B"})

    def test_a_client_that_went_out_of_scope_is_waited_for(self):
        with Server() as server:
            done = run("import sys, millstream\n"
                       "def main():\n"
                       "    c = millstream.Client('k', endpoint=sys.argv[1])\n"
                       "    for _ in range(50): c.track('u1', 'A')\n"
                       "main()", server.url)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(len(server.accepted()), 50)

    def test_workers_of_multiprocessing_deliver_what_they_queued(self):
        for method in ("fork", "spawn"):
            with self.subTest(method=method), Server() as server, tempfile.TemporaryDirectory() as folder:
                program = pathlib.Path(folder) / "program.py"
                program.write_text(
                    "import concurrent.futures, multiprocessing, sys, millstream\n"
                    "c = millstream.Client('k', endpoint=sys.argv[1], flush_interval=60)\n"
                    "def work(n): return c.track('u1', 'Worker')\n"
                    "if __name__ == '__main__':\n"
                    "    context = multiprocessing.get_context(sys.argv[2])\n"
                    "    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:\n"
                    "        assert all(pool.map(work, range(20)))\n"
                    "    process = context.Process(target=work, args=(0,)); process.start(); process.join()\n"
                )
                environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
                done = subprocess.run([sys.executable, str(program), server.url, method], env=environment, capture_output=True,
                                      text=True, timeout=60)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(len(server.accepted()), 21)

    def test_an_exit_takes_two_seconds_at_most(self):
        begin = time.monotonic()
        done = run("import sys, millstream, time, atexit\n"
                   "cs = [millstream.Client('k', endpoint=sys.argv[1]) for _ in range(3)]\n"
                   "[c.track('u1', 'A') for c in cs]\n"
                   "begin = time.monotonic()\n"
                   "atexit._run_exitfuncs()\n"
                   "print(time.monotonic() - begin, [c.stats().dropped_by_reason for c in cs])", AWAY)
        seconds, _, reasons = done.stdout.partition(" ")
        self.assertTrue(1.5 < float(seconds) < 4, done)
        self.assertEqual(reasons.strip(), "[{'closed': 1}, {'closed': 1}, {'closed': 1}]")
        self.assertLess(time.monotonic() - begin, 30)

    def test_an_event_of_an_exit_handler_is_delivered(self):
        with Server() as server:
            done = run("import sys, millstream, atexit\n"
                       "c = millstream.Client('k', endpoint=sys.argv[1])\n"
                       "atexit.register(c.track, 'u1', 'Last')", server.url)
            self.assertEqual(done.returncode, 0, done)
            self.assertEqual([e["event"] for e in server.accepted()], ["Last"])


@unittest.skipUnless(hasattr(os, "fork"), "needs fork")
class Fork(unittest.TestCase):
    def test_a_child_has_an_empty_queue_and_its_own_thread(self):
        with Server() as server, client(server.url, flush_interval=60) as c:
            c.track("u1", "Parent")

            def child():
                assert c.stats().enqueued == 0
                assert c.track("u1", "Child")
                c.close(10)
                assert c.stats().delivered == 1
                assert not any(t.name == "millstream" for t in threading.enumerate())

            self.assertEqual(in_child(child), 0)
            self.assertEqual([e["event"] for e in server.accepted()], ["Child"])
            c.flush()
            self.assertEqual([e["event"] for e in server.accepted()], ["Child", "Parent"])

    def test_children_forked_under_load_neither_hang_nor_repeat(self):
        with Server() as server, client(server.url, queue_events=1_000_000) as c:
            stop = threading.Event()
            made = [0]

            def work():
                while not stop.is_set() and made[0] < 50_000:
                    c.track("parent", "A")
                    made[0] += 1

            thread = threading.Thread(target=work)
            thread.start()
            try:
                for n in range(10):
                    def child():
                        for _ in range(20):
                            assert c.track(f"child{n}", "A")
                        assert c.send(20).track(f"child{n}", "Sent").delivered
                        c.close(20)
                        assert c.stats().delivered == 21, c.stats()

                    self.assertEqual(in_child(child), 0)
            finally:
                stop.set()
                thread.join()
            c.flush(60)
            events = server.accepted()
            self.assertEqual(len({e["messageId"] for e in events}), len(events))
            self.assertEqual(sum(e["userId"] == "parent" for e in events), made[0])
            self.assertEqual(sum(e["userId"] != "parent" for e in events), 210)
            check_sum(self, c.stats())

    def test_the_parents_connection_stays_the_parents(self):
        with Server() as server, client(server.url) as c:
            c.track("u1", "A")
            c.flush()
            self.assertEqual(in_child(lambda: (c.track("u1", "B"), c.close(10))), 0)
            c.track("u1", "C")
            c.flush()
            self.assertEqual(server.connections, 2)

    def test_a_fork_in_on_result_leaves_one_sender(self):
        pids = []

        def fork(results):
            if not pids:
                pid = os.fork()
                pids.append(pid)
                if pid == 0:
                    return  # back into the sender's loop, which must end here
                os.waitpid(pid, 0)

        with Server() as server:
            c = client(server.url, on_result=fork)
            c.track("u1", "A")
            c.flush()
            c.close()
            self.assertEqual(len(server.accepted()), 1)

    def test_a_closed_client_is_closed_in_the_child(self):
        c = client(AWAY)
        c.close()

        def child():
            assert not c.track("u1", "A")
            c.close()

        self.assertEqual(in_child(child), 0)

    def test_hooks_hold_no_client(self):
        import gc

        from millstream import _engine

        before = len(_engine._engines)
        for _ in range(20):
            client(AWAY).close()
        gc.collect()
        self.assertEqual(len(_engine._engines), before)


if __name__ == "__main__":
    unittest.main()
