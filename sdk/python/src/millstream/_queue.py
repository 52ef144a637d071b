"""The queue between event calls and the sender, with every count of the client.

One lock guards it all (_gate.py). Bounds and sums follow from where an entry is: waiting, in flight,
ahead or on disk only (_spool.py), or it has its fate.
"""

from __future__ import annotations

import time
from collections import deque
from functools import partial
from typing import Callable, Deque, Iterable, List, Optional, Sequence, Tuple, Union

from ._entry import Entry, Fate, Ledger, Phase
from ._gate import Gate, Signal
from ._options import DENIED, GRANTED, PENDING, PENDING_EVENTS, Options
from ._spool import Spool
from ._types import DELIVERED, DROPPED, HANDED_OVER, REJECTED, Result, Stats

ENVELOPE = len('{"sentAt":"2026-03-01T10:00:00.000Z","batch":[]}')
_DISK_SECONDS = 10.0  # how long a call waits for its sync, and close for the last write


class Refill:
    """The answer of `take` when the sender has to read the spool first."""


class Queue:
    """Bounded by events and by bytes, in flight ones included."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self.lock = Gate()
        self._work = Signal(self.lock.inner)  # the sender waits
        self._changed = Signal(self.lock.inner)  # callers wait: flush, close, block, send
        self._sender_ended = False
        self.phase = Phase.OPEN
        self.consent = options.consent
        self.deadline: Optional[float] = None  # of close
        self.ledger = Ledger(options.on_result is not None)
        self.spool: Optional[Spool] = None
        self.waiting: Deque[Entry] = deque()
        self._waiting_bytes = 0
        self._in_flight: Deque[Entry] = deque()
        self._flying = 0  # of these, without a fate
        self._safe = 0  # waiting, and synced in the spool; after close what is left there
        self._seq = 0
        self._flush_through = 0
        self._resting = False  # in a backoff that a flush may cut short
        self._cut = False
        self._closed_over = 0  # dropped by close

    # Calls.

    def offer(self, entry: Entry, may_block: bool) -> str:
        """Takes the entry and returns "", or returns the reason of the refusal, counted."""
        if self.lock.interrupted():
            return self._offer_soon(entry)
        with self.lock:
            reason = self._refusal(entry)
            if reason == "queue_full" and may_block and entry.size <= self._options.queue_bytes:
                self.wait_for(lambda: self._refusal(entry) != "queue_full", self._options.block_timeout)
                reason = self._refusal(entry)
            if reason:
                self.ledger.refuse(reason)
                return reason
            self._enter(entry)
            if self.spool and self._options.spool_fsync == "always" and entry.logged:
                spool = self.spool
                self.wait_for(lambda: entry.safe or entry.done or spool.broken or spool.stopped, _DISK_SECONDS)
            if self.phase is Phase.CLOSED and not entry.done:  # by a signal handler, meanwhile
                self._drop_rest()
                return "closed"
            return ""

    def _offer_soon(self, entry: Entry) -> str:
        """In a signal handler that has interrupted a call: the event goes in behind that call's."""
        reason = self._refusal(entry)
        self.lock.soon(partial(self.ledger.refuse, reason) if reason else partial(self._enter_late, entry))
        return reason

    def _enter_late(self, entry: Entry) -> None:
        reason = self._refusal(entry)
        if not reason:
            self._enter(entry)
            return
        self.ledger.enqueued += 1  # its call has returned, so the refusal is a fate
        self.ledger.drop([entry], reason)
        self._work.notify()

    def _enter(self, entry: Entry) -> None:
        self._seq += 1
        entry.seq = self._seq
        self.ledger.enqueued += 1
        self.ledger.hold(entry)
        if entry.held:
            self._append(entry)
        if self.spool and self.consent == GRANTED:
            self.spool.add(entry)

    def _refusal(self, entry: Entry) -> str:
        if self.phase is not Phase.OPEN:
            return "closed"
        if self.consent == DENIED:
            return "consent"
        if entry.size > self._options.queue_bytes or (self.consent == PENDING and len(self.waiting) >= PENDING_EVENTS):
            return "queue_full"
        spool = self.spool
        if spool and self.consent == GRANTED:
            if not spool.admits(entry.size):
                return "spool_full"
            entry.held = not spool.overtakes() and (spool.broken or self._has_room(entry.size, 2))
            if not entry.held and not spool.has_room_ahead(entry.size):
                return "queue_full"
        return "" if self._has_room(entry.size, 1) else "queue_full"

    def _has_room(self, size: int, part: int) -> bool:
        """Whether the event fits into the bounds, or into half of them; an empty queue takes every event."""
        events = len(self.waiting) + self._flying + (len(self.spool.ahead) if self.spool else 0)
        options, held = self._options, self.ledger.bytes
        return not events or (events < options.queue_events // part and held + size <= options.queue_bytes // part)

    def _append(self, entry: Entry) -> None:
        before = ENVELOPE + self._waiting_bytes + len(self.waiting)
        self.waiting.append(entry)
        self._waiting_bytes += entry.size
        count = len(self.waiting)
        if count == 1 or count == self._options.flush_at or before < self._options.batch_bytes <= before + entry.size + 1:
            self._work.notify()  # otherwise the sender's time stands already

    def set_consent(self, state: str) -> None:
        """Denied: what waits is dropped. Granted: what waited may be stored, too."""
        with self.lock:
            before, self.consent = self.consent, state
            if state == DENIED:
                self._drop_waiting()
            elif state == GRANTED and before == PENDING and self.spool:
                for entry in self.waiting:
                    if not entry.logged:
                        self.spool.add(entry)
            self.tell()

    def _drop_waiting(self) -> None:
        if self.spool:
            self.waiting.extend(self.spool.take_ahead())
        self.ledger.drop(self.waiting, "consent")
        self.waiting.clear()
        self._waiting_bytes = self._safe = 0
        if self.spool:
            self.spool.settled()

    def recover(self) -> None:
        """Puts back what was in flight when an earlier thread died."""
        with self.lock:
            for entry in (e for e in reversed(self._in_flight) if not e.done):
                entry.flying = False
                self.waiting.appendleft(entry)
                self._waiting_bytes += entry.size
                self._safe += entry.safe
            self._in_flight.clear()
            self._flying = 0

    def take(self) -> Union[List[Entry], Refill, None]:
        """Waits until a batch is due and moves it in flight. Returns an empty list when results wait to be told, None
        when all is over. Waits without end while nothing is queued."""
        with self.lock:
            while True:
                now = time.monotonic()
                if self.ledger.untold:
                    return []
                if self._over(now):
                    return None
                if self.consent == PENDING:
                    self._work.wait(self._until_deadline(now))
                elif self.waiting:
                    wait = self._due_in(now)
                    if wait <= 0:
                        return self._cut_batch()
                    self._work.wait(wait)
                elif self.spool and self.spool.readable():
                    return Refill()
                elif self.spool and self.spool.has_caught_up():
                    for entry in self.spool.take_ahead():
                        self._append(entry)
                elif self.phase is not Phase.OPEN:
                    return None
                else:
                    self._work.wait()

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
            entry = self.waiting[0]
            size += entry.size + 1
            if batch and size > limit:
                break
            self.waiting.popleft()
            self._waiting_bytes -= entry.size
            self._safe -= entry.safe
            entry.flying = True
            batch.append(entry)
        self._in_flight.extend(batch)
        self._flying += len(batch)
        return batch

    def permitted(self) -> bool:
        """Waits while consent is pending. False: nothing may be sent any more."""
        with self.lock:
            while self.consent == PENDING and not self._over(time.monotonic()):
                self._work.wait(self._until_deadline(time.monotonic()))
            return self.consent == GRANTED and not self._over(time.monotonic())

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
                if now >= end or self._over(now):
                    break
                left = self._until_deadline(now)
                self._work.wait(end - now if left is None else min(end - now, left))
            self._resting = False

    def _over(self, now: float) -> bool:
        """Whether close's deadline has come."""
        return self.phase is Phase.CLOSED or (self.deadline is not None and now >= self.deadline)

    def _until_deadline(self, now: float) -> Optional[float]:
        return None if self.deadline is None else self.deadline - now

    def settle(self, fates: Sequence[Fate]) -> None:
        """Gives entries in flight their fate; one that has a fate keeps it."""
        with self.lock:
            if self.phase is Phase.CLOSED:
                return
            for fate in fates:
                self._flying -= not fate.entry.done
                self.ledger.settle(fate)
            while self._in_flight and self._in_flight[0].done:
                self._in_flight.popleft()
            if self.spool:
                self.spool.settled()
            self._changed.notify_all()

    def collect(self) -> List[Result]:
        """Returns the results that nobody was told yet."""
        with self.lock:
            told, self.ledger.untold = self.ledger.untold, []
            return told

    def refill(self) -> None:
        """Reads events from the spool; in the sender's thread, without the lock."""
        if self.spool:
            self.spool.refill()

    def restore(self, entries: Sequence[Entry], bad: int) -> None:
        """Takes events that were read from the spool; bad ones are lost."""
        for entry in entries:
            self.waiting.append(entry)
            self._waiting_bytes += entry.size
            self.ledger.hold(entry)
        self._safe += len(entries)
        if bad:  # nobody can be told, for they have no id
            self.ledger.add(DROPPED, "spool_error", bad)
            self.ledger.last_error = f"spool: {bad} lines are no events"

    def mark_safe(self, entries: Iterable[Entry]) -> None:
        """Notes that entries are synced."""
        for entry in entries:
            self._safe += entry.held and not (entry.safe or entry.flying or entry.done)
            entry.safe = True
        self.tell()

    def mark_unsafe(self, entries: Iterable[Entry]) -> None:
        """Notes that the files of entries are lost."""
        for entry in entries:
            self._safe -= entry.held and entry.safe and not (entry.flying or entry.done)
            entry.safe = False

    def tell(self) -> None:
        """Wakes everybody to look again."""
        with self.lock:
            self._work.notify_all()
            self._changed.notify_all()

    def flush(self, timeout: float) -> Tuple[int, int]:
        """Returns how many of the events enqueued before have no fate after timeout: in memory only, in the spool."""
        with self.lock:
            through = self._seq
            self._flush_through = through
            self._cut = self._resting or self._cut
            self._work.notify()
            if self.spool:
                self.spool.hurry()
            self.wait_for(lambda: self._exposed_from() > through, timeout)
            spool = self.spool
            flying = [e for e in self._in_flight if not e.done]
            held = [*flying, *self.waiting, *(spool.ahead if spool else ())]
            exposed = sum(1 for e in held if not e.safe and e.seq <= through)
            safe = sum(1 for e in held if e.safe)
            return exposed, safe + (spool.backlog.events if spool else 0)

    def _exposed_from(self) -> int:
        """The number of the oldest event that has no fate and is not safe on disk."""
        exposed = [self.spool.exposed_from()] if self.spool else []
        for entries in (self._in_flight, self.waiting):
            exposed += next(([e.seq] for e in entries if not (e.done or e.safe)), [])
        return min(exposed, default=self._seq + 1)

    def begin_close(self, timeout: float) -> bool:
        """Refuses new calls and lets the sender go on for timeout seconds. False: somebody else had begun."""
        with self.lock:
            if self.phase is not Phase.OPEN:
                return False
            self.phase = Phase.CLOSING
            self.deadline = time.monotonic() + timeout
            self._cut = self._resting
            self.tell()
            return True

    def finish(self) -> None:
        """Ends the queue: the spool keeps what is synced there, the rest is dropped as closed."""
        with self.lock:
            spool = self.spool
            if spool and spool.stop():
                self.wait_for(lambda: spool.stopped, _DISK_SECONDS)
            if self.phase is Phase.CLOSED:
                return
            self._drop_rest()
            self.phase = Phase.CLOSED
            self.tell()

    def _drop_rest(self) -> None:
        ahead: Deque[Entry] = self.spool.ahead if self.spool else deque()
        left = [e for e in (*self._in_flight, *self.waiting, *ahead) if not e.done]
        lost = [e for e in left if not e.safe]
        self.ledger.drop(lost, "closed")
        self._closed_over += len(lost)
        self._safe = len(left) - len(lost) + (self._safe if self.phase is Phase.CLOSED else 0)
        self._flying = self.ledger.bytes = self._waiting_bytes = 0
        self._in_flight.clear()
        self.waiting.clear()
        ahead.clear()

    def begin_sending(self) -> None:
        self._sender_ended = False

    def end_sending(self) -> None:
        """Says that the sender's thread needs the lock no more."""
        with self.lock:
            self._sender_ended = True
            self._changed.notify_all()

    def await_sender(self, timeout: float) -> bool:
        """Waits for end_sending, and lets the lock go meanwhile, however often the caller holds it."""
        with self.lock:
            return self.wait_for(lambda: self._sender_ended, timeout)

    def await_closed(self) -> None:
        with self.lock:
            self.wait_for(lambda: self.phase is Phase.CLOSED, None)

    def left_by_close(self) -> Tuple[int, int]:
        """Events that close dropped, and those that the spool keeps."""
        with self.lock:
            return self._closed_over, self._safe + (self.spool.backlog.events if self.spool else 0)

    def wait_for(self, until: Callable[[], bool], timeout: Optional[float]) -> bool:
        return self._changed.wait_for(until, timeout)

    def stats(self) -> Stats:
        """All counts of one moment."""
        with self.lock:
            c, spool = self.ledger, self.spool
            queued = len(self.waiting) - self._safe if self.phase is not Phase.CLOSED else 0
            return Stats(
                enqueued=c.enqueued, delivered=c.fates[DELIVERED], rejected=c.fates[REJECTED], dropped=c.fates[DROPPED],
                handed_over=c.fates[HANDED_OVER], queued=queued + (len(spool.ahead) if spool else 0),
                in_flight=self._flying + c.sending, spooled=self._safe + (spool.backlog.events if spool else 0),
                retries=c.retries, queued_bytes=c.bytes, coerced=c.coerced, callback_errors=c.callback_errors,
                dropped_by_reason=dict(c.reasons), last_error=c.last_error,
            )
