"""The conformance program: does with the SDK what one JSON object says, and tells what came of it as one line of JSON.
The format is sdk/conformance/FORMAT.md."""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import sys
import threading
import time
from datetime import datetime
from decimal import Decimal
from pathlib import Path

THREADS_AT_START = threading.active_count()  # before the import, which may start none
sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from millstream import Client, Undelivered  # noqa: E402
from millstream._options import Hooks  # noqa: E402

SECONDS = {"flushInterval": "flush_interval", "blockTimeout": "block_timeout", "timeout": "timeout", "maxAge": "max_age",
           "backoffBase": "backoff_base", "backoffMax": "backoff_max"}
PLAIN = {"flushAt": "flush_at", "batchEvents": "batch_events", "batchBytes": "batch_bytes", "queueEvents": "queue_events",
         "queueBytes": "queue_bytes", "overflow": "overflow", "gzip": "gzip", "spoolFsync": "spool_fsync",
         "spoolBytes": "spool_bytes", "consent": "consent"}
COMMON = {"userId": "user_id", "context": "context", "timestamp": "timestamp", "integrations": "integrations",
          "messageId": "message_id"}
PERSON = {**COMMON, "anonymousId": "anonymous_id"}
VIEW = {**PERSON, "name": "name", "category": "category", "properties": "properties"}
ARGUMENTS = {
    "identify": {**PERSON, "traits": "traits"},
    "track": {**PERSON, "event": "event", "properties": "properties"},
    "page": VIEW,
    "screen": VIEW,
    "group": {**PERSON, "groupId": "group_id", "traits": "traits"},
    "alias": {**COMMON, "previousId": "previous_id"},
}
STEPS = ("events", "await", "flush", "close", "send", "consent", "fork", "crash")
OBJECTS = ("properties", "traits", "context", "integrations")
WITHIN_CALL = ("queue_full", "too_large", "invalid", "middleware", "consent", "spool_full", "closed")


def parse_time(text):
    """RFC 3339 to an aware datetime, on Python 3.9 too."""
    match = re.fullmatch(r"(.{19})(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", text)
    if not match:
        raise SystemExit(f"time {text!r}: not RFC 3339")
    fraction = (match[2] or "").ljust(6, "0")[:6]
    return datetime.fromisoformat(f"{match[1]}.{fraction}" + match[3].replace("Z", "+00:00"))


def deep(levels):
    value = {}
    for _ in range(levels - 1):
        value = {"d": value}
    return value


def cycle():
    value = {}
    value["self"] = value
    return value


def big(text):
    return int(Decimal(text)) if len(text) > 4000 else int(text)


ESCAPES = {
    "$int": lambda v, n: big(v),
    "$decimal": lambda v, n: Decimal(v),
    "$float": lambda v, n: float(v),
    "$time": lambda v, n: parse_time(v),
    "$repeat": lambda v, n: v[0] * v[1],
    "$n": lambda v, n: n,
    "$cycle": lambda v, n: cycle(),
    "$depth": lambda v, n: deep(v),
    "$func": lambda v, n: (lambda: None),
}


def build(value, n):
    """The value that an input's JSON stands for."""
    if isinstance(value, dict):
        if len(value) == 1:
            name = next(iter(value))
            if name in ESCAPES:
                return ESCAPES[name](value[name], n)
            if name.startswith("$"):
                raise SystemExit(f"escape {name!r}: not known")
        return {k: build(v, n) for k, v in value.items()}
    return [build(v, n) for v in value] if isinstance(value, list) else value


def arguments(event, n):
    """The method and its keyword arguments."""
    kind = event["type"]
    if kind not in ARGUMENTS:
        raise SystemExit(f"event type {kind!r}: not known")
    made = {name: build(event[key], n) for key, name in ARGUMENTS[kind].items() if key in event}
    if isinstance(made.get("timestamp"), str):
        made["timestamp"] = parse_time(made["timestamp"])
    return kind, made


def mutate(made):
    for name in OBJECTS[:3]:
        value = made.get(name)
        if not isinstance(value, dict):
            continue
        for inner in list(value.values()):
            if isinstance(inner, dict):
                inner["mutated"] = True
            elif isinstance(inner, list):
                inner.append("mutated")
        value["mutated"] = True


def drop_email(event):
    for name in ("properties", "traits"):
        event.get(name, {}).pop("email", None)
    return event


def refuse(event):
    return None if event.get("event") == "Refused" else event


def throw(event):
    if event.get("event") == "Thrown":
        raise RuntimeError("thrown")
    return event


MIDDLEWARE = {"drop_email": drop_email, "refuse": refuse, "throw": throw}


def handles():
    """Threads and file descriptors of this process."""
    try:
        return threading.active_count() + len(os.listdir("/proc/self/fd"))
    except OSError:
        return threading.active_count()


class Program:
    def __init__(self, given):
        self.given = given
        self.config = given.get("config", {})
        self.told = threading.Condition()
        self.results, self.sends, self.flushes, self.closes = [], [], [], []
        self.sent_batches = self.calls = self.peak = self.refusals = 0
        self.slowest = 0.0
        self.closed = False
        self.lock = threading.Lock()
        self.client = None
        self.before = 0

    def run(self):
        steps = self.given.get("sequences", [])
        if steps:
            self.before = handles()
            self.client = self.new_client()
            self.run_steps(steps)
            if not self.closed:
                self.close({"close": 5000})
        return self.output()

    def run_steps(self, steps):
        for step in steps:
            time.sleep(step.get("delayMs", 0) / 1000)
            known = [name for name in STEPS if name in step]
            if not known:
                raise SystemExit(f"step {json.dumps(step)[:80]}: not known")
            getattr(self, {"await": "wait"}.get(known[0], known[0]))(step)

    def new_client(self):
        made = {name: self.config[key] / 1000 for key, name in SECONDS.items() if key in self.config}
        made.update({name: self.config[key] for key, name in PLAIN.items() if key in self.config})
        if "maxRetries" in self.config:
            made["max_attempts"] = self.config["maxRetries"] + 1
        fixed = self.given.get("fixed", {})
        hooks = {"retry_after_scale": self.config.get("retryAfterScale", 1)}
        if "now" in fixed:
            now = parse_time(fixed["now"]).timestamp()
            hooks["now"] = lambda: now
        if fixed.get("messageIds"):
            hooks["new_id"] = self.fixed_id
            self.count = 0
        return Client(
            self.given["writeKey"], endpoint=self.given["apiHost"], on_result=self.on_result,
            middleware=[MIDDLEWARE[name] for name in self.config.get("middleware", [])],
            spool_dir=self.config.get("spoolDir") or None, _hooks=Hooks(**hooks), **made,
        )

    def fixed_id(self):
        with self.lock:
            self.count += 1
            return f"00000000-0000-7000-8000-{self.count:012d}"

    def on_result(self, results):
        with self.told:
            self.sent_batches += any(r.fate in ("delivered", "rejected") for r in results)
            self.results += [result_json(r) for r in results]
            self.told.notify_all()
        mode = self.config.get("callback", "record")
        if mode == "throw":
            raise RuntimeError("thrown")
        if mode == "block":
            time.sleep(self.config.get("callbackMs", 0) / 1000)

    def events(self, step):
        threads = step.get("threads", 0)
        if not threads:
            self.calls = self.call_all(step, self.calls)
            return
        running = [threading.Thread(target=self.call_all, args=(step, 0)) for _ in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()

    def call_all(self, step, n):
        total = len(step["events"]) * step.get("repeat", 1)
        every = 10 if total > 1000 else 1
        made = [None if step.get("mutate") or '"$n"' in json.dumps(e) else arguments(e, 0) for e in step["events"]]
        slowest = peak = refusals = 0
        for _ in range(step.get("repeat", 1)):
            for event, ready in zip(step["events"], made):
                n += 1
                kind, given = ready or arguments(event, n)
                call = getattr(self.client, kind)
                begin = time.perf_counter()
                refusals += not call(**given)
                slowest = max(slowest, time.perf_counter() - begin)
                if step.get("mutate"):
                    mutate(given)
                if n % every == 0:
                    peak = max(peak, self.client.stats().queued_bytes)
        with self.lock:
            self.refusals += refusals
            self.slowest = max(self.slowest, slowest)
            self.peak = max(self.peak, peak, self.client.stats().queued_bytes)
        return n

    def wait(self, step):
        with self.told:
            self.told.wait_for(lambda: len(self.results) >= step["await"], step.get("timeout", 5000) / 1000)

    def flush(self, step):
        self.several(step, self.flushes, lambda: self.client.flush(step["flush"] / 1000))

    def close(self, step):
        self.closed = True
        self.several(step, self.closes, lambda: self.client.close(step["close"] / 1000))

    def several(self, step, into, action):
        def once():
            begin, queued = time.perf_counter(), 0
            try:
                spooled = action()
            except Undelivered as left:
                queued, spooled = left.queued, left.spooled
            took = round((time.perf_counter() - begin) * 1000)
            with self.lock:
                into.append({"ok": queued == 0, "ms": took, "queued": queued, "spooled": spooled})

        times = step.get("times", 1)
        if times == 1:
            once()
            return
        running = [threading.Thread(target=once) for _ in range(times)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()

    def send(self, step):
        self.calls += 1
        kind, given = arguments(step["send"], self.calls)
        begin = time.perf_counter()
        result = getattr(self.client.send(step.get("timeout", 10000) / 1000), kind)(**given)
        self.sends.append({**result_json(result), "ms": round((time.perf_counter() - begin) * 1000)})

    def consent(self, step):
        self.client.consent(step["consent"], step.get("categories"))

    def fork(self, step):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                self.run_steps(step["fork"])
                self.close({"close": 5000})
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        if status:
            raise RuntimeError(f"the forked child ended with status {status}")

    def crash(self, step):
        write(self.output())
        os._exit(0)

    def output(self, error=None):
        if self.client is None:
            return {
                "success": True, "sentBatches": 0, "error": error, "refused": {}, "results": [], "flushes": [], "closes": [],
                "sends": [], "stats": {}, "peakQueueBytes": 0, "slowestCallMs": 0,
                "leaks": threading.active_count() - THREADS_AT_START,
            }
        leaks = self.leaks() if self.closed else 0
        stats = self.client.stats()
        with self.told:
            results = list(self.results)
        return {
            "success": stats.delivered == stats.enqueued, "sentBatches": self.sent_batches, "error": error,
            "refused": self.refused(stats, results), "results": results, "flushes": self.flushes, "closes": self.closes,
            "sends": self.sends, "stats": stats_json(stats), "peakQueueBytes": self.peak,
            "slowestCallMs": round(self.slowest * 1000, 3), "leaks": leaks,
        }

    def refused(self, stats, results):
        """What no result tells was told by a call."""
        found = {}
        told = [r["code"] for r in results + self.sends if r["fate"] == "dropped"]
        for reason, count in stats.dropped_by_reason.items():
            rest = count - told.count(reason)
            if reason in WITHIN_CALL and rest:
                found[reason] = rest
        if sum(found.values()) != self.refusals and self.closed:
            raise SystemExit(f"{self.refusals} calls were refused, and what stats count and nobody told is {found}")
        return found

    def leaks(self):
        end = time.monotonic() + 0.5
        while handles() > self.before and time.monotonic() < end:
            time.sleep(0.01)
        return max(handles() - self.before, 0)


def result_json(r):
    return {"messageId": r.message_id, "fate": r.fate, "code": r.code, "message": r.message, "attempts": r.attempts}


def stats_json(stats):
    names = {"handed_over": "handedOver", "in_flight": "inFlight", "queued_bytes": "queuedBytes",
             "callback_errors": "callbackErrors", "dropped_by_reason": "droppedByReason", "last_error": "lastError"}
    return {names.get(name, name): value for name, value in vars(stats).items()}


def write(output):
    sys.stdout.write(json.dumps(output) + "\n")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--input", type=Path, help="file with the input; default: stdin")
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    path = parser.parse_args().input
    program = Program(json.loads(path.read_bytes() if path else sys.stdin.buffer.read()))
    write(program.run())


if __name__ == "__main__":
    main()
