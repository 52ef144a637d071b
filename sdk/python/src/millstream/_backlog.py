"""The part of the spool that is on disk only, and its reading."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from typing import BinaryIO, Deque, Iterator, List, NamedTuple, Optional, Tuple

from ._entry import Entry
from ._folder import Segment
from ._options import Options

_LINE_MAX = 1 << 20  # of an event's line; SDKs write a quarter of it at most


class Cursor(NamedTuple):
    """Where to read on."""

    segment: Segment
    offset: int
    limit: int


class Part(NamedTuple):
    """What was read: bad lines are entries that are done, so that positions move over them."""

    entries: List[Entry]
    bad: int
    end: int


class Backlog:
    """Counts and finds the events on disk; under the queue's lock, but for `read`."""

    def __init__(self, options: Options) -> None:
        self.events = 0
        self._segments: Deque[Segment] = deque()
        self._offset = 0  # in the first segment
        events = min(options.batch_events, max(options.queue_events // 2, 1))
        self.part = events, min(options.batch_bytes, options.queue_bytes // 2)  # to read at once

    def add(self, segment: Segment, begin: int) -> None:
        """Appends an event that was just written."""
        if not self._segments:
            self._offset = begin
        if not self._segments or self._segments[-1] is not segment:
            self._segments.append(segment)
        self.events += 1

    def extend(self, segments: List[Segment], events: int) -> None:
        """Appends whole segments, from their positions on."""
        if not self._segments:
            self._offset = segments[0].done
        self._segments.extend(segments)
        self.events += events

    def cursor(self) -> Cursor:
        """Where the oldest event is."""
        first = self._segments[0]
        return Cursor(first, self._offset, first.size)

    def accept(self, cursor: Cursor, part: Part) -> Optional[int]:
        """Moves on over what was read. Returns how many events turned out not to be there; None if the segment is not
        ours any more."""
        if not self._segments or self._segments[0] is not cursor.segment:
            return None
        self.events -= len(part.entries)
        self._offset = part.end
        if part.end >= cursor.segment.size or not part.entries:
            if len(self._segments) > 1:
                self._segments.popleft()
                self._offset = self._segments[0].done
            elif not part.entries:
                missing, self.events = self.events, 0
                self._segments.clear()
                return missing
        if not self.events:
            self._segments.clear()
        return 0

    def read(self, cursor: Cursor) -> Part:
        """Reads a batch's worth of events."""
        entries: List[Entry] = []
        most_events, most_bytes = self.part
        bad = size = 0
        end = cursor.offset
        with open(cursor.segment.path, "rb") as file:
            born = time.monotonic() - max(time.time() - os.fstat(file.fileno()).st_mtime, 0.0)  # younger than it is at most
            file.seek(end)
            for line, stop in _lines(file, end, cursor.limit):
                message_id = _message_id(line)
                if message_id is not None and entries and size + len(line) > most_bytes:
                    break
                entry = Entry(message_id or "", line if message_id is not None else b"", born)
                entry.segment, entry.end, entry.safe = cursor.segment, stop, True
                entry.done = message_id is None
                bad += entry.done
                size += entry.size
                end = stop
                entries.append(entry)
                if len(entries) >= most_events:
                    break
        return Part(entries, bad, end)


def _lines(file: BinaryIO, offset: int, limit: int) -> Iterator[Tuple[bytes, int]]:
    """Lines without their newline, and the offset after each. One that is too long comes as an empty line."""
    while offset < limit:
        line = file.readline(min(_LINE_MAX, limit - offset))
        if not line:
            return
        offset += len(line)
        whole = line.endswith(b"\n")
        while not whole and offset < limit:
            rest = file.readline(min(_LINE_MAX, limit - offset))
            offset, whole, line = offset + len(rest), rest.endswith(b"\n") or not rest, b""
        yield line.rstrip(b"\r\n"), offset


def _message_id(line: bytes) -> Optional[str]:
    """The id of the event, "" if it has none; None for what is no JSON object."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict):
        return None
    message_id = event.get("messageId")
    return message_id if isinstance(message_id, str) else ""
