"""What an answer means: the retry matrix as functions of values."""

from __future__ import annotations

import enum
import json
import random
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Dict, List, Optional, Sequence, Tuple

RETRY_AFTER_MAX = 300.0
_BUSY = (429, 502, 503, 504)
_HOPELESS = (501, 505)
_COUNTED = (408, 425)


@dataclass(frozen=True)
class Answer:
    """A server's answer, or with status 0 why there was none."""

    status: int
    body: bytes = b""
    retry_after: Optional[str] = None
    error: str = ""


class Verdict(enum.Enum):
    """What becomes of the batch."""

    DONE = enum.auto()
    RETRY = enum.auto()
    RETRY_COUNTED = enum.auto()
    SPLIT = enum.auto()
    DROP = enum.auto()


def judge(status: int) -> Verdict:
    """The matrix by status; 0 stands for a network error."""
    if 200 <= status < 300:
        return Verdict.DONE
    if status == 413:
        return Verdict.SPLIT
    if status == 0 or status in _BUSY:
        return Verdict.RETRY
    if status in _HOPELESS or (400 <= status < 500 and status not in _COUNTED):
        return Verdict.DROP
    return Verdict.RETRY_COUNTED


def describe(answer: Answer) -> str:
    """One line for people: never a whole body."""
    if not answer.status:
        return answer.error
    told = _told(answer.body)
    return f"HTTP {answer.status}: {told}" if told else f"HTTP {answer.status}"


def _told(body: bytes) -> str:
    try:
        answer = json.loads(body)
        return str(answer.get("message") or answer.get("code") or "")[:200] if isinstance(answer, dict) else ""
    except (ValueError, RecursionError):
        return ""


def rejections(answer: Answer, ids: Sequence[str]) -> Dict[int, Tuple[str, str]]:
    """Index to code and message of the events that a 200 lists. Entries that name another event are ignored."""
    found: Dict[int, Tuple[str, str]] = {}
    if answer.status != 200:
        return found
    for item in _listed(answer.body):
        if not isinstance(item, dict):
            continue
        index = item.get("index")
        if type(index) is int and 0 <= index < len(ids) and _names(item.get("messageId"), ids[index]):
            found[index] = (str(item.get("code") or ""), str(item.get("message") or ""))
    return found


def _listed(body: bytes) -> List[object]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return []
    listed = answer.get("rejected") if isinstance(answer, dict) else None
    return listed if isinstance(listed, list) else []


def _names(told: object, own: str) -> bool:
    """An answer may leave the id out, and ingest shortens ids beyond 255 bytes: there the index alone counts."""
    return told is None or told == own or len(own.encode("utf-8", "replace")) > 255


def retry_after(text: Optional[str], now: float) -> Optional[float]:
    """Seconds from the header, at most 300; None if there is none or nobody can read it."""
    if not text:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), RETRY_AFTER_MAX)
    try:
        return min(max(parsedate_to_datetime(text).timestamp() - now, 0.0), RETRY_AFTER_MAX)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


@dataclass
class Backoff:
    """How long to wait before the next attempt."""

    base: float
    ceiling: float
    scale: float = 1.0
    random: "random.Random" = field(default_factory=random.SystemRandom)

    def delay(self, tries: int, asked: Optional[float]) -> float:
        """Seconds after `tries` failed attempts; `asked` is the server's Retry-After."""
        top = min(self.ceiling, self.base * 2.0 ** min(tries, 40))
        wait = self.random.uniform(min(self.base / 5, top), top)
        if asked is None:
            return wait
        return max(wait, asked * self.scale * self.random.uniform(1.0, 1.1))
