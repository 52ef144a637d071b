"""The client."""

from __future__ import annotations

import os
import ssl
import time
import weakref
from types import TracebackType
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Type, Union

from ._encode import Invalid, encode, stamp
from ._engine import Engine
from ._event import Calls, complete, private_copy
from ._options import CONSENT_STATES, Hooks, Options
from ._entry import Entry
from ._types import DROPPED, Event, Members, Middleware, OnResult, Result, Stats, Undelivered
from ._version import __version__

EVENT_MAX = 256 * 1024
_LIBRARY = {"name": "millstream-python", "version": __version__}


class Client(Calls[bool]):
    """Sends events to Millstream's ingest.

    An event call encodes the event, queues it and returns True, or False if it is refused (the reason is counted in
    ``stats().dropped_by_reason``). It waits for nothing but, with ``overflow="block"``, for room in the queue, and
    raises nothing. A daemon thread, started by the first event, sends batches and tells each event's fate to
    ``on_result``. Clients are safe for threads and after ``os.fork``; a child begins with an empty queue.

    Make one client for the process, and close it at the end: ``with Client(…) as c``, or ``close()``. A client that is
    still open when the interpreter, or a worker of multiprocessing, exits is closed with two seconds; processes that
    leave by ``os._exit`` or a signal have to do it themselves.
    """

    __slots__ = ("_engine", "_options", "_context", "_consented", "__weakref__")

    def __init__(
        self,
        write_key: str,
        *,
        endpoint: str,
        on_result: Optional[OnResult] = None,
        context: Optional[Members] = None,
        middleware: Sequence[Middleware] = (),
        consent: str = "granted",
        flush_at: int = 100,
        flush_interval: float = 1.0,
        batch_events: int = 500,
        batch_bytes: int = 400 * 1024,
        queue_events: int = 10_000,
        queue_bytes: int = 16 * 1024 * 1024,
        overflow: str = "drop_newest",
        block_timeout: float = 1.0,
        timeout: float = 10.0,
        gzip: bool = True,
        max_attempts: int = 10,
        backoff_base: float = 0.5,
        backoff_max: float = 60.0,
        max_age: Optional[float] = None,
        spool_dir: Union[str, os.PathLike[str], None] = None,
        spool_bytes: int = 64 * 1024 * 1024,
        spool_fsync: str = "interval",
        proxy: Optional[str] = None,
        ssl_context: Optional[ssl.SSLContext] = None,
        _hooks: Optional[Hooks] = None,
    ) -> None:
        """Times are seconds, sizes bytes of encoded events. Raises a ValueError that names every option out of range.

        ``endpoint``: where ingest is, ``https://in.example.com``; a path in front of ``/v1/batch`` may follow.
        ``on_result``: gets a list of `Result` from the sending thread; while it runs, nothing is sent.
        ``context``: goes with each event, under the call's own context.
        ``middleware``: functions of the event, called in order before encoding; each returns the event or None, which
        refuses it. One that raises refuses it too.
        ``flush_at``, ``flush_interval``: send when so many events wait, or so long after the first.
        ``batch_events``, ``batch_bytes``: bounds of a request, before gzip.
        ``queue_events``, ``queue_bytes``: bounds of memory, in flight events included.
        ``overflow``: ``drop_newest`` refuses events while the queue is full; ``block`` waits for room up to
        ``block_timeout`` first.
        ``max_attempts``: of a batch, for answers that are the server's fault (500, 408…); 429, 502, 503, 504 and
        network errors do not count: only ``max_age`` (an hour; seven days with a spool) ends those.
        ``spool_dir``: a folder that makes the queue durable, shared by any number of processes; ``spool_bytes`` bounds
        it; ``spool_fsync``: ``interval`` (every second), ``always`` (a call returns when its event is synced), ``never``.
        ``proxy``: ``http://[user:password@]host:port``; None asks the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY),
        ``""`` goes without one.
        """
        self._options = Options(
            write_key=write_key, endpoint=endpoint, on_result=on_result, context=context, middleware=_tupled(middleware),
            consent=consent, flush_at=flush_at, flush_interval=flush_interval, batch_events=batch_events,
            batch_bytes=batch_bytes, queue_events=queue_events, queue_bytes=queue_bytes, overflow=overflow,
            block_timeout=block_timeout, timeout=timeout, gzip=gzip, max_attempts=max_attempts, backoff_base=backoff_base,
            backoff_max=backoff_max, max_age=max_age, spool_bytes=spool_bytes,
            spool_dir=os.fspath(spool_dir) if isinstance(spool_dir, os.PathLike) else spool_dir,
            spool_fsync=spool_fsync, proxy=proxy, ssl_context=ssl_context, hooks=_hooks or Hooks(),
        )
        self._options.check()
        self._context: Dict[str, Any] = {"library": _LIBRARY, **private_copy(context or {})}
        self._engine = Engine(self._options)
        weakref.finalize(self, self._engine.release).atexit = False

    def send(self, timeout: float = 10.0) -> "Sending":
        """Sends one event now and waits for its fate, past the queue: ``c.send(timeout=5).track("u1", "Paid")``
        returns a `Result`. It makes the same retries as the queue for at most timeout seconds; an event without an
        answer by then is dropped as ``expired``. For serverless functions, which freeze between calls."""
        return Sending(self, timeout)

    def flush(self, timeout: float = 10.0) -> int:
        """Sends what was enqueued before, at once, and waits until each of these events has a fate or is synced in
        the spool. Returns how many are in the spool without a fate. Raises `Undelivered` if all that takes longer
        than timeout. In ``on_result`` it does not wait."""
        return _all_safe(*self._engine.flush(timeout))

    def close(self, timeout: float = 5.0) -> int:
        """Refuses new events, flushes for at most timeout seconds, leaves the rest to the spool or drops it as
        ``closed``, and ends threads and connections. Returns how many events the spool keeps. Raises `Undelivered` if
        events were dropped. A second call waits for the first and ends like it."""
        return _all_safe(*self._engine.close(timeout))

    def stats(self) -> Stats:
        """Returns all counts, taken at one moment."""
        return self._engine.queue.stats()

    def consent(self, state: str, categories: Optional[Mapping[str, bool]] = None) -> None:
        """Sets the consent: ``granted``; ``pending``: events wait in memory, at most 1,000; ``denied``: they are
        dropped as ``consent``. Categories go with each later event as ``context.consent.categoryPreferences``."""
        if state not in CONSENT_STATES:
            raise ValueError(f"consent: must be one of {', '.join(CONSENT_STATES)} (got {state!r})")
        if categories is not None:
            self._context = {**self._context, "consent": {"categoryPreferences": dict(categories)}}
        self._engine.set_consent(state)

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        """Closes with the usual timeout. What could not be delivered is counted and told to ``on_result``; it raises
        nothing, because the block's own work is done."""
        self._engine.close(5.0)

    def _take(self, event: Event) -> bool:
        entry, _ = self._encoded(event)
        return entry is not None and self._engine.take(entry)

    def _encoded(self, event: Event) -> Tuple[Optional[Entry], str]:
        """Returns the encoded event, or counts its refusal and returns the reason."""
        try:
            self._fill(event)
            if self._options.middleware:
                passed = self._through_middleware(event)
                if passed is None:
                    return None, self._refuse("middleware")
                event = passed
            event = complete(event)
            body, coerced = encode(event)
        except Invalid as error:
            return None, self._refuse("invalid", str(error))
        except Exception as error:  # an argument's own code
            return None, self._refuse("invalid", f"{type(error).__name__} while encoding")
        if len(body) > EVENT_MAX:
            return None, self._refuse("too_large", f"an event of {len(body)} bytes; at most {EVENT_MAX} are taken")
        return self._engine.entry(event["messageId"], body, coerced), ""

    def _fill(self, event: Event) -> None:
        now = self._options.hooks.now()
        if event["messageId"] is None:
            event["messageId"] = self._engine.new_id(now)
        if event["timestamp"] is None:
            event["timestamp"] = stamp(now)
        context = event["context"]
        if context is None:
            event["context"] = self._context
        elif isinstance(context, Mapping):
            event["context"] = {**self._context, **context}

    def _through_middleware(self, event: Event) -> Optional[Event]:
        passed: Optional[Event] = private_copy({name: value for name, value in event.items() if value is not None})
        for step in self._options.middleware:
            try:
                passed = step(passed)  # type: ignore[arg-type]
            except Exception as error:  # a redaction that failed must not leak, in last_error neither
                self._engine.callback_failed(f"middleware: {type(error).__name__}")
                return None
            if not isinstance(passed, dict):
                return None
        return passed

    def _refuse(self, reason: str, error: Optional[str] = None) -> str:
        self._engine.refuse(reason, error)
        return reason


def _tupled(steps: Sequence[Middleware]) -> Sequence[Middleware]:
    return tuple(steps) if isinstance(steps, (list, tuple)) else steps


def _all_safe(queued: int, spooled: int) -> int:
    if queued:
        raise Undelivered(queued, spooled)
    return spooled


class Sending(Calls[Result]):
    """The event calls of `Client.send`: each waits and returns the event's `Result`."""

    __slots__ = ("_client", "_timeout")

    def __init__(self, client: Client, timeout: float) -> None:
        self._client = client
        self._timeout = timeout

    def _take(self, event: Event) -> Result:
        message_id = event["messageId"]
        entry, reason = self._client._encoded(event)
        if entry is None:
            return Result(str(message_id or event["messageId"] or ""), DROPPED, 0, reason, self._client.stats().last_error or "")
        return self._client._engine.direct.send(entry, self._timeout)
