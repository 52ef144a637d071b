"""`send`: one event now, past the queue, on the caller's thread; for programs that freeze or end after an answer."""

from __future__ import annotations

import threading
import time
from typing import List, Set

from ._answer import describe
from ._entry import Entry, Phase
from ._options import DENIED, PENDING, Options
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
        reason = self._begin()
        if reason:
            return Result(entry.id, DROPPED, 0, reason)
        result = Result(entry.id, DROPPED, 0, "closed")
        courier = self._borrow()
        try:
            result = self._until(courier, Attempts([entry]), entry.born + timeout)
        finally:
            self._end(result)
            self._give_back(courier)
        return result

    def _until(self, courier: Courier, work: Attempts, deadline: float) -> Result:
        entry, last = work.entries[0], ""
        while True:
            reason = self._await_permit(deadline)
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
            with self._queue.lock:
                self._queue.wait_for(self._is_over, min(seconds, deadline - time.monotonic()))

    def _begin(self) -> str:
        """Counts an event in; the reason if it is refused."""
        queue = self._queue
        with queue.lock:
            reason = "closed" if queue.phase is not Phase.OPEN else "consent" if queue.consent == DENIED else ""
            if reason:
                queue.ledger.refuse(reason)
            else:
                queue.ledger.enqueued += 1
                queue.ledger.sending += 1
            return reason

    def _end(self, result: Result) -> None:
        with self._queue.lock:
            self._queue.ledger.sending -= 1
            self._queue.ledger.add(result.fate, result.code)

    def _await_permit(self, deadline: float) -> str:
        """Waits while consent is pending; a reason if nothing may be sent any more."""
        queue = self._queue
        with queue.lock:
            queue.wait_for(lambda: queue.consent != PENDING or queue.phase is Phase.CLOSED, deadline - time.monotonic())
            if queue.phase is Phase.CLOSED:
                return "closed"
            return "consent" if queue.consent == DENIED else ""

    def _is_over(self) -> bool:
        return self._queue.phase is Phase.CLOSED

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
