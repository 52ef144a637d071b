"""An encoded event, and the sums that every event enters once."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Dict, Iterable, List, NamedTuple, Optional

from ._types import DELIVERED, DROPPED, HANDED_OVER, REJECTED, Result

if TYPE_CHECKING:
    from ._folder import Segment


class Phase(enum.Enum):
    """A client's life."""

    OPEN = enum.auto()
    CLOSING = enum.auto()
    CLOSED = enum.auto()


class Entry:
    """An encoded event between its call and its fate. Changes under the queue's lock, but for `attempts`."""

    __slots__ = ("id", "body", "size", "born", "seq", "attempts", "done", "logged", "held", "flying", "safe", "segment", "end")

    def __init__(self, message_id: str, body: bytes, born: float) -> None:
        self.id = message_id
        self.body = body  # empty once it is not needed
        self.size = len(body)
        self.born = born  # monotonic
        self.seq = 0  # number of the accepted call; 0: read from the spool
        self.attempts = 0
        self.done = False  # has a fate
        self.logged = False  # known to the spool
        self.held = True  # in memory: waiting or in flight
        self.flying = False
        self.safe = False  # synced in the spool
        self.segment: Optional[Segment] = None  # where it lies in the spool, once written
        self.end = 0


class Fate(NamedTuple):
    """What became of an entry."""

    entry: Entry
    fate: str
    code: str = ""
    message: str = ""


class Ledger:
    """The sums of a client, the bytes that it holds, and the results that nobody was told yet; under the queue's lock."""

    def __init__(self, telling: bool) -> None:
        self._telling = telling
        self.enqueued = 0
        self.fates: Dict[str, int] = {DELIVERED: 0, REJECTED: 0, DROPPED: 0, HANDED_OVER: 0}
        self.reasons: Dict[str, int] = {}
        self.retries = 0
        self.coerced = 0
        self.callback_errors = 0
        self.sending = 0  # by send, past the queue
        self.bytes = 0
        self.last_error: Optional[str] = None
        self.untold: List[Result] = []

    def add(self, fate: str, code: str, times: int = 1) -> None:
        """Enters fates."""
        self.fates[fate] += times
        if fate == DROPPED:
            self.reasons[code] = self.reasons.get(code, 0) + times

    def refuse(self, reason: str, error: Optional[str] = None) -> None:
        """Enters a call that was refused at once."""
        self.enqueued += 1
        self.add(DROPPED, reason)
        self.last_error = error or self.last_error

    def coerce(self, values: int) -> None:
        """Enters values that became null."""
        self.coerced += values

    def blame(self, error: str) -> None:
        """Enters an exception of the application's code."""
        self.callback_errors += 1
        self.last_error = error

    def settle(self, fate: Fate) -> None:
        """Gives an entry its fate, unless it has one."""
        entry = fate.entry
        if entry.done:
            return
        entry.done = True
        self.release(entry)
        self.add(fate.fate, fate.code)
        if self._telling:
            self.untold.append(Result(entry.id, fate.fate, entry.attempts, fate.code, fate.message))

    def drop(self, entries: Iterable[Entry], reason: str) -> None:
        """Settles all as dropped."""
        for entry in entries:
            self.settle(Fate(entry, DROPPED, reason))

    def hold(self, entry: Entry) -> None:
        """The entry's bytes are in memory."""
        self.bytes += entry.size

    def release(self, entry: Entry) -> None:
        """The entry's bytes leave memory."""
        self.bytes -= len(entry.body)
        entry.body = b""
