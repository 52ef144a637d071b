"""Options and their check."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass, field
from typing import Callable, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from ._types import Members, Middleware, OnResult

HOUR = 3600.0
GRANTED, PENDING, DENIED = "granted", "pending", "denied"
CONSENT_STATES = (GRANTED, PENDING, DENIED)
PENDING_EVENTS = 1000
_POSITIVE = (
    "flush_at", "batch_events", "batch_bytes", "queue_events", "queue_bytes", "timeout", "max_attempts", "backoff_max",
    "spool_bytes",
)
_NOT_NEGATIVE = ("flush_interval", "block_timeout", "backoff_base")


@dataclass(frozen=True)
class Hooks:
    """What tests and the conformance program replace: wall clock in seconds, ids, the length of Retry-After."""

    now: Callable[[], float] = time.time
    new_id: Optional[Callable[[], str]] = None
    retry_after_scale: float = 1.0


@dataclass(frozen=True)
class Options:
    """All options of a client, checked by `check`."""

    write_key: str
    endpoint: str
    on_result: Optional[OnResult] = None
    context: Optional[Members] = None
    middleware: Sequence[Middleware] = ()
    flush_at: int = 100
    flush_interval: float = 1.0
    batch_events: int = 500
    batch_bytes: int = 400 * 1024
    queue_events: int = 10_000
    queue_bytes: int = 16 * 1024 * 1024
    overflow: str = "drop_newest"
    block_timeout: float = 5.0
    timeout: float = 10.0
    gzip: bool = True
    max_attempts: int = 10
    backoff_base: float = 0.5
    backoff_max: float = 60.0
    max_age: Optional[float] = None
    consent: str = GRANTED
    spool_dir: Optional[str] = None
    spool_bytes: int = 64 * 1024 * 1024
    spool_fsync: str = "interval"
    proxy: Optional[str] = None
    ssl_context: Optional[ssl.SSLContext] = None
    hooks: Hooks = field(default_factory=Hooks)

    @property
    def age_limit(self) -> float:
        """Seconds after which an event is no longer sent."""
        if self.max_age is not None:
            return self.max_age
        return 7 * 24 * HOUR if self.spool_dir else HOUR

    def check(self) -> None:
        """Raises a ValueError that names every option out of range."""
        wrong = [text for bad, text in self._findings() if bad]
        if wrong:
            raise ValueError("; ".join(wrong))

    def _findings(self) -> Tuple[Tuple[bool, str], ...]:
        return (
            (not _is_key(self.write_key), f"write_key: must be text without colon (got {len(self.write_key)} characters)"),
            (not _is_url(self.endpoint), f"endpoint: must be like https://in.example.com (got {self.endpoint!r})"),
            (bool(self.proxy) and not _is_proxy(self.proxy or ""), "proxy: must be like http://proxy.example.com:3128"),
            _one_of("overflow", self.overflow, ("drop_newest", "block")),
            _one_of("consent", self.consent, CONSENT_STATES),
            _one_of("spool_fsync", self.spool_fsync, ("interval", "always", "never")),
            *((getattr(self, n) <= 0, f"{n}: must be > 0 (got {getattr(self, n)})") for n in _POSITIVE),
            *((getattr(self, n) < 0, f"{n}: must be >= 0 (got {getattr(self, n)})") for n in _NOT_NEGATIVE),
            (self.age_limit <= 0, f"max_age: must be > 0 (got {self.max_age})"),
        )


def _one_of(name: str, got: str, known: Tuple[str, ...]) -> Tuple[bool, str]:
    return got not in known, f"{name}: must be one of {', '.join(known)} (got {got!r})"


def _is_key(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and ":" not in text


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        named = bool(parts.hostname) and parts.port != 0
        return parts.scheme in ("http", "https") and named and text.isascii() and text.isprintable() and " " not in text
    except ValueError:
        return False


def _is_proxy(text: str) -> bool:
    return _is_url(text) and urlsplit(text).scheme == "http"
