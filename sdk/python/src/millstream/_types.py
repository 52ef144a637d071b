"""What callers see beside the client."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Union
from uuid import UUID

Event = Dict[str, Any]
Middleware = Callable[[Event], Optional[Event]]
Identifier = Union[str, int, UUID]
Members = Mapping[str, Any]
Timestamp = Union[datetime, str]

DELIVERED = "delivered"
REJECTED = "rejected"
DROPPED = "dropped"
HANDED_OVER = "handed_over"


class Result(NamedTuple):
    """The fate of one event."""

    message_id: str
    fate: str
    """``delivered``, ``rejected`` (the server refused this event) or ``dropped``."""
    attempts: int
    """Requests that held the event."""
    code: str = ""
    """Of a rejected event the server's code; of a dropped one the reason: ``http_401``, ``max_attempts``,
    ``expired``, ``closed`` and so on."""
    message: str = ""
    """The server's sentence, or what went wrong last."""

    @property
    def delivered(self) -> bool:
        """Whether the server has the event."""
        return self.fate == DELIVERED


OnResult = Callable[[List[Result]], Any]


class Undelivered(Exception):
    """The deadline came first. ``queued`` events had no fate and would be lost with the process; ``spooled`` ones
    had none either, but are safe on disk."""

    def __init__(self, queued: int, spooled: int) -> None:
        super().__init__(f"{queued} events without a fate at the deadline, {spooled} more are safe in the spool")
        self.queued = queued
        self.spooled = spooled


@dataclass(frozen=True)
class Stats:
    """Counts since the client was made, or since the fork that made its process. Always:
    enqueued = delivered + rejected + dropped + handed_over + queued + in_flight + spooled."""

    enqueued: int
    """Event calls, refused ones too, and events taken over from a spool."""
    delivered: int
    rejected: int
    dropped: int
    handed_over: int
    """Spooled events that another process took over because this one had stood still for a minute."""
    queued: int
    """In memory only."""
    in_flight: int
    spooled: int
    """Safe on disk and not in flight."""
    retries: int
    """Requests after the first one with the same events."""
    queued_bytes: int
    """Encoded events in memory, in flight or waiting."""
    coerced: int
    """NaN and infinities that became null."""
    callback_errors: int
    """Exceptions of ``on_result`` and of middleware."""
    dropped_by_reason: Dict[str, int]
    last_error: Optional[str]
