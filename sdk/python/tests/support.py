"""A scripted ingest on a loopback port, and small helpers."""

from __future__ import annotations

import gzip
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from millstream import Client

ROOT = pathlib.Path(__file__).resolve().parent.parent
OK = (200, {}, b'{"success":true}')
CUT = "cut"


class Request:
    def __init__(self, handler, body):
        self.path = handler.path
        self.headers = dict(handler.headers.items())
        self.raw = body
        self.body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        self.json = json.loads(self.body) if self.body else None
        self.at = time.monotonic()
        self.status = 0

    @property
    def events(self):
        return self.json["batch"]

    @property
    def ids(self):
        return [e.get("messageId") for e in self.events]


class Server:
    """Answers with the script's items, then with `then`. An item is (status, headers, body), "cut", or a function of the
    request that returns one of these."""

    def __init__(self, *script, then=OK):
        self.script = list(script)
        self.then = then
        self.requests = []
        self.changed = threading.Condition()
        self.connections = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def setup(self):
                outer.connections += 1
                super().setup()

            def do_POST(self):
                outer.handle(self)

            def log_message(self, *args):
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request, client_address):
                pass  # clients that leave are part of the tests

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def handle(self, handler):
        length = int(handler.headers.get("Content-Length", 0))
        body = handler.rfile.read(length)
        if len(body) < length:
            return
        request = Request(handler, body)
        with self.changed:
            answer = self.script.pop(0) if self.script else self.then
            self.requests.append(request)
            self.changed.notify_all()
        if callable(answer):
            answer = answer(request)
        if answer == CUT:
            handler.close_connection = True
            return
        status, headers, text = answer
        request.status = status
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        if "Content-Length" not in headers and "Transfer-Encoding" not in headers:
            handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)
        handler.wfile.flush()

    def await_requests(self, count, timeout=10):
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.requests) >= count, timeout):
                raise AssertionError(f"{len(self.requests)} requests, want {count}")

    def accepted(self):
        """Events in requests that were answered with 200, in order."""
        return [e for r in self.requests if r.status == 200 for e in r.events]

    def close(self):
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()


class Results:
    """An on_result that keeps everything."""

    def __init__(self):
        self.all = []
        self.changed = threading.Condition()

    def __call__(self, results):
        with self.changed:
            self.all += results
            self.changed.notify_all()

    def wait(self, count, timeout=10):
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.all) >= count, timeout):
                raise AssertionError(f"{len(self.all)} results, want {count}")
        return self.all


AWAY = "http://127.0.0.1:9"  # nothing listens on the discard port


def client(url, **options):
    """A client in a hurry."""
    made = {"flush_interval": 0.02, "backoff_base": 0.01, "backoff_max": 0.05, "timeout": 5}
    made.update(options)
    return Client("WRITE_KEY", endpoint=url, **made)


def check_sum(case, stats):
    total = stats.delivered + stats.rejected + stats.dropped + stats.handed_over + stats.queued + stats.in_flight + stats.spooled
    case.assertEqual(stats.enqueued, total, stats)
    case.assertEqual(stats.dropped, sum(stats.dropped_by_reason.values()), stats)


def eventually(check, timeout=10, reason="condition"):
    end = time.monotonic() + timeout
    while not check():
        if time.monotonic() > end:
            raise AssertionError(f"{reason}: not within {timeout} s")
        time.sleep(0.005)


def descriptors():
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def run(code, *arguments, **options):
    """Runs a program that imports the package; warnings are errors."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, "-W", "error", "-c", code, *arguments], env=environment, capture_output=True, text=True,
                          timeout=60, **options)
