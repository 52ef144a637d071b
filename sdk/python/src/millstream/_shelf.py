"""The spool as calls and the sender see it: which events are where. All but `refill` runs under the queue's lock.

In the order of the calls, events lie in three places:

    memory (waiting, in flight)  <  backlog (on disk only)  <  ahead (in memory, not yet written)

Normally backlog and ahead are empty, and each event in memory is being written, too. When half of the memory is full, or
older events are on disk only, new ones go ahead and leave memory once they are written. The sender reads the backlog when
memory is empty; when the backlog is empty as well, what is ahead moves into memory and all is as before.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Deque, List, Optional

from ._backlog import Backlog
from ._entry import Entry
from ._folder import Segment
from ._gate import Signal
from ._options import Options

if TYPE_CHECKING:
    from ._queue import Queue

SYNC_SECONDS = 1.0
NEVER = 1 << 62


class Shelf:
    """Where events are. The thread that writes them is Spool's."""

    def __init__(self, options: Options, queue: "Queue") -> None:
        self._options = options
        self._queue = queue
        self._wake = Signal(queue.lock.inner)
        self._file_bytes = 0
        self._log: Deque[Entry] = deque()  # in memory, in the order of the files; its head says how far a position may move
        self._unwritten: Deque[Entry] = deque()
        self._unwritten_bytes = 0
        self._dirty_from = NEVER  # the oldest number that is written and not synced
        self.ahead: Deque[Entry] = deque()
        self.backlog = Backlog(options)
        self._ahead_bytes = 0
        self._entered = False  # the lease is ours, and the dead were looked for
        self.broken = False
        self._trouble: Optional[OSError] = None  # met while reading
        self._record_at: Optional[float] = None
        self._sync_at: Optional[float] = None
        self._hurry = False

    def admits(self, size: int) -> bool:
        """Whether the folder's bound has room. While the disk is in trouble, memory alone decides."""
        return self.broken or self._file_bytes + self._unwritten_bytes + size + 1 <= self._options.spool_bytes

    def has_room_ahead(self, size: int) -> bool:
        """Whether an event may go ahead: beside it there must be room for a part of the backlog."""
        part_events, part_bytes = self.backlog.part
        fits = self._ahead_bytes + size <= self._options.queue_bytes - part_bytes
        return not self.ahead or (fits and len(self.ahead) < self._options.queue_events - part_events)

    def overtakes(self) -> bool:
        """Whether older events are on disk only, or may be, so that a new one has to queue behind them."""
        return bool(self.backlog.events or self.ahead) or not (self._entered or self.broken)

    def add(self, entry: Entry) -> None:
        """Takes an accepted event for writing; one that is not held in memory goes ahead."""
        entry.logged = True
        if entry.held:
            self._log.append(entry)
        else:
            self.ahead.append(entry)
            self._ahead_bytes += entry.size
        self._unwritten.append(entry)
        self._unwritten_bytes += entry.size + 1
        many = len(self._unwritten) > self._options.queue_events // 8 or self._unwritten_bytes > self._options.queue_bytes // 8
        if len(self._unwritten) == 1 or (many and not self._hurry):
            self._hurry = self._hurry or many
            self._wake.notify()

    def hurry(self) -> None:
        """Writes and syncs now."""
        self._hurry = True
        self._sync_at = 0.0
        self._wake.notify()

    def exposed_from(self) -> int:
        """The oldest number that is in no memory of the queue and not synced either."""
        return min(self._dirty_from, self.ahead[0].seq if self.ahead else NEVER)

    def settled(self) -> None:
        """Moves the positions over events that have their fate."""
        while self._log and self._log[0].done:
            entry = self._log.popleft()
            if entry.segment:
                self._advance(entry.segment, entry.end)

    def _advance(self, segment: Segment, end: int) -> None:
        segment.done = max(segment.done, end)
        if self._record_at is None:
            self._record_at = time.monotonic() + SYNC_SECONDS
            self._wake.notify()
        elif segment.finished:
            self._wake.notify()

    def take_ahead(self) -> List[Entry]:
        """Moves what is ahead to its place in memory."""
        entries = list(self.ahead)
        self.ahead.clear()
        self._ahead_bytes = 0
        self._log.extend(entries)
        for entry in entries:
            entry.held = True
        return entries

    def readable(self) -> bool:
        """Whether the sender should read the backlog."""
        return self.backlog.events > 0 and not self.broken and self._trouble is None

    def has_caught_up(self) -> bool:
        """Whether everything older than what is ahead has left memory and disk."""
        return bool(self.ahead) and not self.backlog.events and (self._entered or self.broken)

    def refill(self) -> None:
        """Reads a part of the backlog into memory."""
        with self._queue.lock:
            cursor = self.backlog.cursor()
        try:
            part = self.backlog.read(cursor)
        except OSError as error:
            with self._queue.lock:
                self._trouble = error  # for the thread, which owns the files
                self._wake.notify()
            return
        with self._queue.lock:
            missing = self.backlog.accept(cursor, part)
            if missing is not None:
                self._log.extend(part.entries)
                self._queue.restore([e for e in part.entries if not e.done], part.bad + missing)
                self.settled()
