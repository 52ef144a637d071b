"""The spool's thread: it appends accepted events to files, so that a request under way delays no write, syncs them,
records how far they have their fate, renews the lease, and takes over what dead owners left.

Attributes change under the queue's lock, files without it. Only this thread touches the files of this owner, but for the
sender's reading (_shelf.py).
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, List, Optional

from ._backlog import Backlog
from ._entry import Entry
from ._folder import SEGMENT_MAX, SUSPECT_SECONDS, Folder, Segment
from ._options import Options
from ._shelf import NEVER, SYNC_SECONDS, Shelf
from ._types import HANDED_OVER

if TYPE_CHECKING:
    from ._queue import Queue
    from ._sender import Notices

_GATHER = 0.1  # seconds from an event to its write
_TOUCH = 10.0
_LOOK = 60.0
_RETRY = 10.0
_IDLE = 2.0  # without an event, until a segment whose events have their fates is removed
_LOSSES = 3  # of files to other owners, in one round


class Spool(Shelf):
    """One owner's part of the folder."""

    def __init__(self, options: Options, queue: "Queue", notices: "Notices") -> None:
        super().__init__(options, queue)
        self._notices = notices
        self._folder = Folder(options.spool_dir or "")
        self._segment_max = min(SEGMENT_MAX, max(options.spool_bytes // 4, 1))
        self._segments: List[Segment] = []  # ours, oldest first
        self._current: Optional[Segment] = None  # the last of them, while it is written to
        self._unsynced: List[Entry] = []
        self._written_at = 0.0
        self._retry_at = 0.0
        self._look_at = 0.0
        self._started = False
        self._stopping = False
        self.stopped = False

    def start(self) -> None:
        """Starts the thread. Raises a RuntimeError if there can be none."""
        if not self._started:
            self._started = True
            try:
                threading.Thread(target=self.run, name="millstream-spool", daemon=True).start()
            except RuntimeError:
                self._started = False
                raise

    def stop(self) -> bool:
        """Asks the thread for a last write, and to end; whether it has to be waited for."""
        self._stopping = True
        self._wake.notify()
        return self._started and not self.stopped

    def run(self) -> None:
        """Writes, syncs, records positions and renews the lease until stop."""
        stopping = False
        while not stopping:
            with self._queue.lock:
                while (wait := self._due_in(time.monotonic())) > 0:
                    self._wake.wait(wait)
                stopping = self._stopping
            self._work(stopping)
        with self._queue.lock:
            self.stopped = True
            self._queue.tell()

    def _due_in(self, now: float) -> float:
        """Seconds until something has to be done. Without events that is the lease alone."""
        if self._stopping:
            return 0.0
        if self.broken:
            return self._retry_at - now
        if not self._entered or self._hurry or self._trouble or any(s.finished for s in self._segments):
            return 0.0
        times = [self._folder.touched + _TOUCH, self._look_at]
        if self._unwritten:
            times.append(self._unwritten[0].born + (0.0 if self._options.spool_fsync == "always" else _GATHER))
        times += [t for t in (self._sync_at, self._record_at) if t is not None]
        return min(min(times) - now, self._idle_in(now))

    def _idle_in(self, now: float) -> float:
        """Seconds until the current segment is closed for want of events."""
        if self._unwritten or not self._current or self._current.done < self._current.size:
            return NEVER
        return self._written_at + _IDLE - now

    def _work(self, stopping: bool) -> None:
        try:
            self._renew(stopping)
            self._write()
            self._sync(stopping)
            self._record(stopping)
        except OSError as error:
            self._break(error)
        if stopping:
            self._leave()

    def _renew(self, stopping: bool) -> None:
        """Keeps the lease, and takes over what the dead left."""
        now = time.monotonic()
        trouble, self._trouble = self._trouble, None
        if trouble and not isinstance(trouble, FileNotFoundError):
            raise trouble
        touch = now - self._folder.touched >= _TOUCH
        if trouble or (touch and self._folder.owner and not all(s.ours for s in self._segments)):
            self._lose()
        if not self._folder.owner:
            self._folder.enter()
        elif touch:
            self._folder.touch()
        if now >= self._look_at and not stopping:
            segments, events, trouble = self._folder.take_over()
            self._receive(segments, events)
            if trouble:
                self._complain(trouble, "a file is left for a later look")
            self._look_at = now + (SUSPECT_SECONDS if self._folder.suspecting else _LOOK)
        if not self._entered or self.broken:
            with self._queue.lock:
                self._entered, self.broken = True, False
                self._queue.tell()

    def _receive(self, segments: List[Segment], events: int) -> None:
        """Puts taken segments behind all that is written; new events follow in a new file."""
        if not segments:
            return
        self._fsync()
        self._close_current()
        with self._queue.lock:
            self._segments += segments
            self._file_bytes += sum(s.size for s in segments)
            self.backlog.extend(segments, events)
            self._queue.ledger.enqueued += events
            self._queue.tell()

    def _write(self) -> None:
        """Appends what has gathered."""
        losses = 0
        while True:
            with self._queue.lock:
                self._hurry = False
                group = self._gather()
                lines = [entry.body for entry in group]
            if not group:
                return
            try:
                segment = self._writable()
                start = segment.size
                segment.append(b"\n".join(lines) + b"\n")
                ours = segment.ours
            except OSError:
                self._put_back(group)
                raise
            if ours:
                with self._queue.lock:
                    self._written(group, segment, start)
                continue
            self._put_back(group)  # whether the other owner's reader sees these lines, nobody knows
            self._lose()
            losses += 1
            if losses > _LOSSES:
                raise OSError(f"{self._options.spool_dir}: other owners take every file at once")
            self._renew(False)

    def _put_back(self, group: List[Entry]) -> None:
        with self._queue.lock:
            self._unwritten.extendleft(reversed(group))
            self._unwritten_bytes += sum(e.size + 1 for e in group)

    def _gather(self) -> List[Entry]:
        """Takes the next group: as much as fits into the current segment. What has its fate needs no writing."""
        group: List[Entry] = []
        room = self._segment_max - (self._current.size if self._current else 0)
        while self._unwritten:
            entry = self._unwritten[0]
            if not entry.done:
                if group and room < entry.size + 1:
                    break
                group.append(entry)
                room -= entry.size + 1
            self._unwritten.popleft()
            self._unwritten_bytes -= entry.size + 1
        return group

    def _writable(self) -> Segment:
        """The current segment, or a new one if that is full."""
        if self._current and self._current.size >= self._segment_max:
            self._fsync()
            self._close_current()
        if self._current is None:
            segment = self._folder.create(self._options.spool_fsync != "never")
            with self._queue.lock:
                self._current = segment
                self._segments.append(segment)
        return self._current

    def _written(self, group: List[Entry], segment: Segment, start: int) -> None:
        """Notes where each event lies; those ahead leave memory."""
        begin = start
        for entry in group:
            end = begin + entry.size + 1
            entry.segment, entry.end = segment, end
            if self.ahead and self.ahead[0] is entry:
                self.ahead.popleft()
                self._ahead_bytes -= entry.size
                self.backlog.add(segment, begin)
                self._queue.ledger.release(entry)
            elif entry.done and not (self._log and self._log[0].seq <= entry.seq):
                self._advance(segment, end)  # its turn to move the position has passed
            begin = end
        segment.size = begin
        self._written_at = time.monotonic()
        self._file_bytes += begin - start
        self._unsynced += [e for e in group if e.held or self._options.spool_fsync == "always"]
        self._dirty_from = min(self._dirty_from, group[0].seq or NEVER)
        if self._sync_at is None:
            self._sync_at = time.monotonic() + (SYNC_SECONDS if self._options.spool_fsync == "interval" else 0.0)
        self._queue.tell()

    def _sync(self, stopping: bool) -> None:
        """Makes durable what is written, when it is time."""
        with self._queue.lock:
            due = self._sync_at is not None and (stopping or self._sync_at <= time.monotonic())
        if due:
            self._fsync()

    def _fsync(self) -> None:
        with self._queue.lock:
            entries, self._unsynced = self._unsynced, []
        if self._current and self._options.spool_fsync != "never":
            os.fsync(self._current.fd)
        with self._queue.lock:
            self._sync_at, self._dirty_from = None, NEVER
            self._queue.mark_safe(entries)

    def _record(self, stopping: bool) -> None:
        """Removes segments without work, and writes the positions of the others once a second."""
        with self._queue.lock:
            due = stopping or (self._record_at is not None and self._record_at <= time.monotonic())
            idle = self._idle_in(time.monotonic()) <= (_IDLE if stopping else 0)
            if due:
                self._record_at = None
        if idle:
            self._close_current()
        with self._queue.lock:
            finished = [s for s in self._segments if s.finished]
            for segment in finished:
                self._segments.remove(segment)
                self._file_bytes -= segment.size
            rest = list(self._segments) if due else []
        for segment in finished:
            segment.remove()
        for segment in rest:
            segment.record()
        if finished:
            with self._queue.lock:
                self._queue.tell()

    def _close_current(self) -> None:
        segment, self._current = self._current, None
        if segment:
            segment.close()

    # Trouble.

    def _break(self, error: OSError) -> None:
        """Memory only for ten seconds; the application notices nothing."""
        with self._queue.lock:
            self.broken = True
            self._retry_at = time.monotonic() + _RETRY
            self._sync_at, self._dirty_from, self._unsynced = None, NEVER, []
            segment, self._current = self._current, None
            self._queue.tell()
        if segment:
            try:
                segment.close()
            except OSError:
                pass  # told already
        self._complain(error, "events are kept in memory only")

    def _complain(self, error: OSError, so: str) -> None:
        text = f"spool: {type(error).__name__}: {error}"
        with self._queue.lock:
            self._queue.ledger.last_error = text
        self._notices.warn("spool", "%s; %s", text, so)

    def _lose(self) -> None:
        """Another owner took our files for a dead one's: this process stood still, or a clock has stepped. What is on
        disk only is the other's to send; what is in memory is written again, under a new id."""
        self._close_current()
        with self._queue.lock:
            self._queue.ledger.add(HANDED_OVER, "", self.backlog.events)
            self.backlog = Backlog(self._options)
            again = [e for e in self._log if e.segment and not e.done]
            for entry in again:
                entry.segment = None
            self._queue.mark_unsafe(again)
            self._unwritten.extendleft(reversed(again))
            self._unwritten_bytes += sum(e.size + 1 for e in again)
            self._segments, self._file_bytes, self._look_at = [], 0, 0.0
            self._unsynced, self._dirty_from = [], NEVER
        self._folder.leave()

    def _leave(self) -> None:
        """Gives up files and lease; whoever comes next takes over what is left."""
        self.abandon()
        try:
            self._folder.leave()
        except OSError:
            pass  # the lease runs out

    def abandon(self) -> None:
        """Closes the file, here and in a forked child."""
        try:
            self._close_current()
        except OSError:
            pass


