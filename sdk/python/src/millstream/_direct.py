"""`send`: one event now, past the queue, on the caller's thread; for programs that freeze or end after an answer."""

from __future__ import annotations

import threading
import time
from typing import List, Set

from ._answer import describe
from ._options import Options
from ._entry import Entry
from ._queue import Queue
from ._sender import Attempts, Courier, Notices
from ._types import DROPPED, Result

_KEPT = 4  # idle connections


class Direct:
    """Makes the same attempts as the sender until a deadline. Connections are kept for the next call."""

    def __init__(self, options: Options, queue: Queue, notices: Notices) -> None:
        self._options = options
        self._queue = queue
        self._notices = notices
        self._lock = threading.RLock()
        self._idle: List[Courier] = []
        self._busy: Set[Courier] = set()
        self._closed = False

    def send(self, entry: Entry, timeout: float) -> Result:
        """Returns the event's fate, within timeout."""
        reason = self._queue.begin_send()
        if reason:
            return Result(entry.id, DROPPED, 0, reason)
        result = Result(entry.id, DROPPED, 0, "closed")
        courier = self._borrow()
        try:
            result = self._until(courier, Attempts([entry]), entry.born + timeout)
        finally:
            self._queue.end_send(result)
            self._give_back(courier)
        return result

    def _until(self, courier: Courier, work: Attempts, deadline: float) -> Result:
        entry, last = work.entries[0], ""
        while True:
            reason = self._queue.await_permit(deadline)
            left = deadline - time.monotonic()
            if reason or left <= 0:
                return Result(entry.id, DROPPED, entry.attempts, reason or "expired", last)
            answer = courier.attempt(work, min(left, self._options.timeout))
            fates = courier.fates(work, answer)
            if fates is not None:
                _, fate, code, message = fates[0]
                return Result(entry.id, fate, entry.attempts, code, message)
            last = describe(answer)
            seconds, _ = courier.delay(work, answer)
            self._queue.rest(min(seconds, deadline - time.monotonic()))

    def _borrow(self) -> Courier:
        with self._lock:
            courier = self._idle.pop() if self._idle else Courier(self._options, self._queue, self._notices)
            self._busy.add(courier)
            return courier

    def _give_back(self, courier: Courier) -> None:
        with self._lock:
            self._busy.discard(courier)
            if not self._closed and len(self._idle) < _KEPT:
                self._idle.append(courier)
                return
        courier.transport.close()

    def close(self) -> None:
        """Ends all attempts; their events are dropped as closed."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            busy = list(self._busy)
        for courier in idle:
            courier.transport.close()
        for courier in busy:
            courier.transport.abort()

    def forget(self) -> None:
        """In a forked child: the parent's connections are not ours to use."""
        for courier in [*self._idle, *self._busy]:
            courier.transport.close()
