"""Options and their check."""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Callable, Iterator, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from ._types import Members, Middleware, OnResult

HOUR = 3600.0
GRANTED, PENDING, DENIED = "granted", "pending", "denied"
CONSENT_STATES = (GRANTED, PENDING, DENIED)
PENDING_EVENTS = 1000
_INTEGERS = ("flush_at", "batch_events", "batch_bytes", "queue_events", "queue_bytes", "max_attempts", "spool_bytes")
_SECONDS = ("flush_interval", "block_timeout", "timeout", "backoff_base", "backoff_max", "max_age")
_MAY_BE_ZERO = ("flush_interval", "block_timeout", "backoff_base")
_OPTIONAL = ("spool_dir", "proxy", "on_result", "context", "ssl_context", "max_age")
_CHOICES = {"overflow": ("drop_newest", "block"), "consent": CONSENT_STATES, "spool_fsync": ("interval", "always", "never")}


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
    block_timeout: float = 1.0
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
        wrong = [text for text in (*self._mistyped(), *self._out_of_range()) if text]
        if wrong:
            raise ValueError("; ".join(wrong))

    def _mistyped(self) -> Iterator[str]:
        for names, fits, what in _TYPES:
            for name in names:
                value = getattr(self, name)
                if not (fits(value) or (value is None and name in _OPTIONAL)):
                    yield f"{name}: must be {what} (got {type(value).__name__})"

    def _out_of_range(self) -> Iterator[str]:
        if isinstance(self.write_key, str) and not _is_key(self.write_key):
            yield f"write_key: must be printable text without colon (got {len(self.write_key)} characters)"
        if isinstance(self.endpoint, str) and (not _is_url(self.endpoint) or "@" in self.endpoint):
            yield "endpoint: must be like https://in.example.com, a path may follow"
        if isinstance(self.proxy, str) and self.proxy and not _is_proxy(self.proxy):
            yield "proxy: must be like http://proxy.example.com:3128"
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                yield f"{name}: must be one of {', '.join(known)} (got {getattr(self, name)!r})"
        for name in (*_INTEGERS, *_SECONDS):
            value, least = getattr(self, name), 0 if name in _MAY_BE_ZERO else None
            if _is_number(value) and (value < 0 or (value == 0 and least is None)):
                yield f"{name}: must be {'>=' if least == 0 else '>'} 0 (got {value})"


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_functions(value: object) -> bool:
    return isinstance(value, tuple) and all(callable(step) for step in value)


_TYPES: Tuple[Tuple[Tuple[str, ...], Callable[[object], bool], str], ...] = (
    (("write_key", "endpoint", "spool_dir", "proxy"), lambda v: isinstance(v, str), "text"),
    (_INTEGERS, _is_integer, "an integer"),
    (_SECONDS, _is_number, "a number of seconds"),
    (("on_result",), callable, "a function"),
    (("middleware",), _is_functions, "a list of functions"),
    (("context",), lambda v: isinstance(v, Mapping), "a dict"),
    (("gzip",), lambda v: isinstance(v, bool), "a bool"),
    (("ssl_context",), lambda v: isinstance(v, ssl.SSLContext), "an ssl.SSLContext"),
)


def _is_key(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and ":" not in text


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        plain = text.isascii() and text.isprintable() and not any(c in text for c in " ?#")
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and plain
    except ValueError:
        return False


def _is_proxy(text: str) -> bool:
    return _is_url(text) and urlsplit(text).scheme == "http"
