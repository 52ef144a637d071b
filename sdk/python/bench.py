"""Figures of the Python SDK: python bench.py call | full | spool | throughput | away [calls] | idle.

The server is a process of its own, so that it takes no part of the client's interpreter. Each figure is one line of JSON.
"""

from __future__ import annotations

import http.client
import json
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from millstream import Client  # noqa: E402

MIB = 1024 * 1024
EVENT = {"orderId": "o-10293847", "total": 129.95, "items": 3, "firstPurchase": True, "coupon": "SPRING"}
RUNS, CALLS = 15, 5_000


class Sink(BaseHTTPRequestHandler):
    """Answers POST with the status that the last PUT /<status> has set."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    status = 200

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(Sink.status)

    def do_PUT(self):
        Sink.status = int(self.path[1:])
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


def serve():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()  # until the bench ends


class Server:
    def __enter__(self):
        self.process = subprocess.Popen([sys.executable, __file__, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def set(self, status):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("PUT", f"/{status}")
        connection.getresponse().read()
        connection.close()

    def __exit__(self, *args):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def report(name, **figures):
    print(json.dumps({"bench": name, "python": platform.python_version(), **figures}), flush=True)


def time_calls(c, calls=CALLS):
    """Microseconds a call: passed, and of this thread's processor."""
    begin, cpu = time.perf_counter(), time.thread_time()
    for _ in range(calls):
        c.track("user-4711", "Order Completed", EVENT)
    return (time.perf_counter() - begin) / calls * 1e6, (time.thread_time() - cpu) / calls * 1e6


def spread(samples):
    wall, cpu = zip(*samples)
    return {"median_us": round(statistics.median(wall), 2), "min_us": round(min(wall), 2), "max_us": round(max(wall), 2),
            "cpu_us": round(statistics.median(cpu), 2)}


def call():
    """The caller's side: while nothing is sent, and while the thread sends all the time."""
    with Server() as server:
        samples = []
        for _ in range(RUNS):
            c = Client("k", endpoint=server.url, flush_at=10**9, flush_interval=3600, queue_events=10**6, batch_bytes=10**9)
            samples.append(time_calls(c))
            size = c.stats().queued_bytes // CALLS
            c.close()
        report("call, nothing is sent", event_bytes=size, **spread(samples))
        with Client("k", endpoint=server.url, queue_events=10**6, queue_bytes=10**9) as c:
            report("call, while sending", event_bytes=size, **spread([time_calls(c) for _ in range(RUNS)]))


def full():
    """A call that a full queue refuses."""
    with Client("k", endpoint="http://127.0.0.1:9", queue_events=10) as c:
        time_calls(c, 100)
        report("call, queue full", **spread([time_calls(c) for _ in range(RUNS)]))


def spool():
    """The caller's side with a spool, fsync interval, beside one without; events a second into files."""
    folder = tempfile.mkdtemp()
    try:
        with Server() as server:
            server.set(503)
            for name, options in (("call, no spool", {}), ("call, spool interval", {"spool_dir": folder, "spool_bytes": 10**9})):
                c = Client("k", endpoint=server.url, queue_events=10**6, queue_bytes=10**9, **options)
                samples = [time_calls(c) for _ in range(RUNS)]
                begin = time.perf_counter()
                left = c.flush(30) if options else 0
                report(name, **spread(samples), synced=left, flush_ms=round((time.perf_counter() - begin) * 1000, 1))
                c._engine.close(0)
    finally:
        shutil.rmtree(folder)


def throughput():
    """Events a second from the first call to the last fate."""
    with Server() as server, Client("k", endpoint=server.url, overflow="block", block_timeout=60) as c:
        begin, cpu = time.perf_counter(), time.process_time()
        time_calls(c, 200_000)
        c.flush(60)
        took = time.perf_counter() - begin
        report("throughput", events_per_s=round(200_000 / took), cpu_s=round(time.process_time() - cpu, 2), delivered=c.stats().delivered)


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def away(calls=3_600_000):
    """An hour at 1,000 events a second against a server that answers 503, then the first 200."""
    with Server() as server:
        server.set(503)
        c = Client("k", endpoint=server.url)
        time_calls(c, 100)
        before, most, begin = resident(), 0, time.perf_counter()
        for _ in range(calls // 1000):
            time_calls(c, 1000)
            most = max(most, resident())
        took = time.perf_counter() - begin
        stats = c.stats()
        refused = stats.dropped_by_reason.get("queue_full", 0)
        assert stats.enqueued == calls + 100 == stats.queued + stats.in_flight + refused, stats
        cpu, retries = retry_cost(c)
        server.set(200)
        waited = time.perf_counter()
        while c.stats().delivered == 0:
            time.sleep(0.001)
        first = time.perf_counter()
        while c.stats().queued_bytes:
            time.sleep(0.001)
        end = time.perf_counter()
        c.close()
        report(
            "away", calls=calls, seconds=round(took, 1), growth_mib=round((most - before) / MIB, 1), refused=refused,
            held=calls + 100 - refused, idle_cpu_percent=cpu, idle_retries=retries, first_200_after_s=round(first - waited, 2),
            empty_after_first_200_s=round(end - first, 2), delivered=c.stats().delivered,
        )


def retry_cost(c, seconds=20):
    """Percent of a core that the retries of a full queue take."""
    tried, cpu = c.stats().retries, time.process_time()
    time.sleep(seconds)
    return round((time.process_time() - cpu) / seconds * 100, 3), c.stats().retries - tried


def idle():
    """Wake-ups of the thread in five seconds without events."""
    with Server() as server, Client("k", endpoint=server.url) as c:
        c.track("u", "A")
        c.flush()
        thread = next(t for t in threading.enumerate() if t.name == "millstream")

        def switches():
            with open(f"/proc/self/task/{thread.native_id}/status") as file:
                return next(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches"))

        time.sleep(1)
        before = switches()
        time.sleep(5)
        report("idle", wake_ups=switches() - before, threads=1)


BENCHES = {"call": call, "full": full, "spool": spool, "throughput": throughput, "away": away, "idle": idle, "serve": serve}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in BENCHES:
        sys.exit(__doc__)
    BENCHES[sys.argv[1]](*map(int, sys.argv[2:]))
