"""The queue between event calls and the sender, with every count of the client.

One lock guards it all. It may be entered twice by a thread, because the garbage collector can end an unreachable client
(`begin_close`) at any allocation, under this lock too.

An entry is waiting, then in flight, then has a fate; `Undelivered`, bounds and sums follow from that alone. Fates come in
the order of the calls but for expired and refused events within a batch.
"""

from __future__ import annotations

import enum
import threading
import time
from collections import deque
from typing import Callable, Deque, Dict, List, Optional, Sequence, Tuple

from ._options import DENIED, GRANTED, PENDING, PENDING_EVENTS, Options
from ._types import DELIVERED, DROPPED, REJECTED, Result, Stats

ENVELOPE = len('{"sentAt":"2026-03-01T10:00:00.000Z","batch":[]}')


class Phase(enum.Enum):
    """A client's life."""

    OPEN = enum.auto()
    CLOSING = enum.auto()
    CLOSED = enum.auto()


class Entry:
    """An encoded event. `seq` numbers the accepted calls; `born` is monotonic."""

    __slots__ = ("id", "body", "born", "seq", "attempts", "done")

    def __init__(self, message_id: str, body: bytes, born: float) -> None:
        self.id = message_id
        self.body = body
        self.born = born
        self.seq = 0
        self.attempts = 0
        self.done = False


class Counts:
    """Sums; under the queue's lock."""

    def __init__(self) -> None:
        self.enqueued = 0
        self.fates: Dict[str, int] = {DELIVERED: 0, REJECTED: 0, DROPPED: 0}
        self.reasons: Dict[str, int] = {}
        self.retries = 0
        self.coerced = 0
        self.callback_errors = 0
        self.sending = 0  # by send, past the queue
        self.last_error: Optional[str] = None

    def add(self, fate: str, code: str) -> None:
        self.fates[fate] += 1
        if fate == DROPPED:
            self.reasons[code] = self.reasons.get(code, 0) + 1


class Queue:
    """Bounded by events and by bytes, in flight ones included."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.lock = threading.RLock()
        self._work = threading.Condition(self.lock)  # the sender waits
        self._changed = threading.Condition(self.lock)  # callers wait: flush, close, block, send
        self.phase = Phase.OPEN
        self.consent = options.consent
        self.deadline: Optional[float] = None  # of close
        self.counts = Counts()
        self.waiting: Deque[Entry] = deque()
        self.in_flight: Deque[Entry] = deque()
        self._closed_over = 0  # dropped by close
        self._flying = 0  # in flight and without a fate
        self._waiting_bytes = 0
        self._bytes = 0
        self._seq = 0
        self._flush_through = 0
        self._resting = False  # in a backoff that a flush may cut short
        self._cut = False
        self._outbox: List[Result] = []

    # Calls.

    def offer(self, entry: Entry, may_block: bool) -> str:
        """Takes the entry and returns "", or returns the reason of the refusal, counted."""
        with self.lock:
            self.counts.enqueued += 1
            reason = self._refusal(entry)
            if reason == "queue_full" and may_block and self._options.overflow == "block" and self._fits_ever(entry):
                self._wait(lambda: self._refusal(entry) != "queue_full", self._options.block_timeout)
                reason = self._refusal(entry)
            if reason:
                self.counts.add(DROPPED, reason)
                return reason
            self._seq += 1
            entry.seq = self._seq
            self._append(entry)
            return ""

    def _append(self, entry: Entry) -> None:
        size = len(entry.body)
        before = self._waiting_bytes + ENVELOPE + len(self.waiting)
        self.waiting.append(entry)
        self._waiting_bytes += size
        self._bytes += size
        count = len(self.waiting)
        if count == 1 or count == self._options.flush_at or before < self._options.batch_bytes <= before + size + 1:
            self._work.notify()  # otherwise the sender's time stands already

    def _refusal(self, entry: Entry) -> str:
        if self.phase is not Phase.OPEN:
            return "closed"
        if self.consent == DENIED:
            return "consent"
        held = len(self.waiting) + self._flying
        if self.consent == PENDING and len(self.waiting) >= PENDING_EVENTS:
            return "queue_full"
        if held >= self._options.queue_events or self._bytes + len(entry.body) > self._options.queue_bytes:
            return "queue_full"
        return ""

    def _fits_ever(self, entry: Entry) -> bool:
        return len(entry.body) <= self._options.queue_bytes

    def refuse(self, reason: str, error: Optional[str] = None) -> None:
        """Counts a call that was refused before it had bytes."""
        with self.lock:
            self.counts.enqueued += 1
            self.counts.add(DROPPED, reason)
            if error:
                self.counts.last_error = error

    def set_consent(self, state: str) -> None:
        with self.lock:
            self.consent = state
            if state == DENIED:
                self._drop(self.waiting, "consent")
            self._work.notify()
            self._changed.notify_all()

    # Calls of send, which pass the queue.

    def begin_send(self) -> str:
        """Counts an event in; the reason if it is refused."""
        with self.lock:
            self.counts.enqueued += 1
            reason = "closed" if self.phase is not Phase.OPEN else "consent" if self.consent == DENIED else ""
            if reason:
                self.counts.add(DROPPED, reason)
            else:
                self.counts.sending += 1
            return reason

    def await_permit(self, deadline: float) -> str:
        """Waits while consent is pending; a reason if nothing may be sent any more."""
        with self.lock:
            self._wait(lambda: self.consent != PENDING or self.phase is Phase.CLOSED, deadline - time.monotonic())
            if self.phase is Phase.CLOSED:
                return "closed"
            return "consent" if self.consent == DENIED else ""

    def rest(self, seconds: float) -> None:
        with self.lock:
            self._wait(lambda: self.phase is Phase.CLOSED, seconds)

    def end_send(self, result: Result) -> None:
        with self.lock:
            self.counts.sending -= 1
            self.counts.add(result.fate, result.code)

    # The sender.

    def take(self) -> Optional[List[Entry]]:
        """Waits until a batch is due and moves it in flight. Returns an empty list when results wait to be told, None
        when all is over. Waits without end while nothing is queued."""
        with self.lock:
            while True:
                if self._outbox:
                    return []
                now = time.monotonic()
                if self.over(now):
                    return None
                if not self.waiting:
                    if self.phase is not Phase.OPEN:
                        return None
                    self._work.wait()
                elif self.consent != GRANTED:
                    self._work.wait(self._until_deadline(now))
                elif (wait := self._due_in(now)) > 0:
                    self._work.wait(wait)
                else:
                    return self._cut_batch()

    def _due_in(self, now: float) -> float:
        head = self.waiting[0]
        options = self._options
        if self.phase is not Phase.OPEN or head.seq <= self._flush_through or len(self.waiting) >= options.flush_at:
            return 0.0
        if ENVELOPE + self._waiting_bytes + len(self.waiting) - 1 >= options.batch_bytes:
            return 0.0
        return head.born + options.flush_interval - now

    def _cut_batch(self) -> List[Entry]:
        size, limit = ENVELOPE - 1, self._options.batch_bytes
        batch: List[Entry] = []
        while self.waiting and len(batch) < self._options.batch_events:
            size += len(self.waiting[0].body) + 1
            if batch and size > limit:
                break
            entry = self.waiting.popleft()
            self._waiting_bytes -= len(entry.body)
            batch.append(entry)
        self.in_flight.extend(batch)
        self._flying += len(batch)
        return batch

    def permitted(self) -> bool:
        """Waits while consent is pending. False: nothing may be sent any more."""
        with self.lock:
            while self.consent == PENDING and not self.over(time.monotonic()):
                self._work.wait(self._until_deadline(time.monotonic()))
            return self.consent == GRANTED and not self.over(time.monotonic())

    def denied(self) -> bool:
        """Whether consent was withdrawn."""
        with self.lock:
            return self.consent == DENIED

    def pause(self, seconds: float, firm: bool, until: float) -> None:
        """Waits before the next attempt, to a point in time at most; a flush cuts it short unless the server asked
        for it (firm)."""
        end = min(time.monotonic() + seconds, until)
        with self.lock:
            self._cut, self._resting = False, not firm
            while not self._cut and self.consent != DENIED:
                now = time.monotonic()
                if now >= end or self.over(now):
                    break
                left = self._until_deadline(now)
                self._work.wait(end - now if left is None else min(end - now, left))
            self._resting = False

    def over(self, now: float) -> bool:
        """Whether close's deadline has come."""
        return self.phase is Phase.CLOSED or (self.deadline is not None and now >= self.deadline)

    def _until_deadline(self, now: float) -> Optional[float]:
        return None if self.deadline is None else self.deadline - now

    def settle(self, fates: Sequence[Tuple[Entry, str, str, str]]) -> None:
        """Gives entries in flight their fate: (entry, fate, code, message). One that has a fate keeps it."""
        with self.lock:
            for entry, fate, code, message in fates:
                if not entry.done:
                    self._flying -= 1
                    self._settle(entry, fate, code, message)
            while self.in_flight and self.in_flight[0].done:
                self.in_flight.popleft()
            self._changed.notify_all()

    def _settle(self, entry: Entry, fate: str, code: str, message: str) -> None:
        entry.done = True
        self._bytes -= len(entry.body)
        entry.body = b""
        self.counts.add(fate, code)
        if self._options.on_result:
            self._outbox.append(Result(entry.id, fate, entry.attempts, code, message))

    def _drop(self, entries: Deque[Entry], reason: str) -> None:
        for entry in entries:
            if not entry.done:
                self._settle(entry, DROPPED, reason, "")
        entries.clear()
        if entries is self.waiting:
            self._waiting_bytes = 0

    def collect(self) -> List[Result]:
        """Returns the results that nobody was told yet."""
        with self.lock:
            told, self._outbox = self._outbox, []
            return told

    def finish(self) -> None:
        """Ends the queue: what has no fate is dropped as closed."""
        with self.lock:
            self._closed_over += self._flying + len(self.waiting)
            self._drop(self.in_flight, "closed")
            self._flying = 0
            self._drop(self.waiting, "closed")
            self.phase = Phase.CLOSED
            self._work.notify_all()
            self._changed.notify_all()

    # Waiting callers.

    def flush(self, timeout: float) -> Tuple[int, int]:
        """Returns how many of the events enqueued before have no fate after timeout: in memory only, in the spool."""
        with self.lock:
            through = self._seq
            self._flush_through = through
            self._cut = self._resting or self._cut
            self._work.notify()
            self._wait(lambda: self._oldest() > through, timeout)
            return self._left(through), 0

    def _oldest(self) -> int:
        """The number of the oldest event without a fate."""
        for entry in self.in_flight:
            if not entry.done:
                return entry.seq
        return self.waiting[0].seq if self.waiting else self._seq + 1

    def _left(self, through: int) -> int:
        """Events up to the number that have no fate."""
        flying = sum(1 for e in self.in_flight if not e.done and e.seq <= through)
        return flying + sum(1 for e in self.waiting if e.seq <= through)

    def begin_close(self, timeout: float) -> bool:
        """Refuses new calls and lets the sender go on for timeout seconds. False: somebody else had begun."""
        with self.lock:
            if self.phase is not Phase.OPEN:
                return False
            self.phase = Phase.CLOSING
            self.deadline = time.monotonic() + timeout
            self._cut = self._resting
            self._work.notify_all()
            self._changed.notify_all()
            return True

    def left_by_close(self) -> Tuple[int, int]:
        """Events that close dropped, and those that the spool keeps."""
        with self.lock:
            return self._closed_over, 0

    def await_closed(self, timeout: Optional[float] = None) -> bool:
        with self.lock:
            return self._wait(lambda: self.phase is Phase.CLOSED, timeout)

    def _wait(self, until: Callable[[], bool], timeout: Optional[float]) -> bool:
        return self._changed.wait_for(until, timeout)

    def stats(self) -> Stats:
        with self.lock:
            c = self.counts
            return Stats(
                enqueued=c.enqueued, delivered=c.fates[DELIVERED], rejected=c.fates[REJECTED], dropped=c.fates[DROPPED],
                handed_over=0, queued=len(self.waiting), in_flight=self._flying + c.sending,
                spooled=0, retries=c.retries, queued_bytes=self._bytes, coerced=c.coerced, callback_errors=c.callback_errors,
                dropped_by_reason=dict(c.reasons), last_error=c.last_error,
            )
