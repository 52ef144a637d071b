"""The thread that sends: one batch in flight, retried in place, so that order holds."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Deque, List, Optional, Sequence, Tuple

from ._answer import Answer, Backoff, Verdict, describe, judge, rejections, retry_after
from ._encode import stamp
from ._http import Transport
from ._options import Options
from ._entry import Entry, Fate
from ._queue import Queue, Refill
from ._types import DELIVERED, DROPPED, REJECTED, Result

log = logging.getLogger("millstream")

_MINUTE = 60.0


class Attempts:
    """The tries of one batch, or of a half of it."""

    __slots__ = ("entries", "tries", "counted")

    def __init__(self, entries: List[Entry], tries: int = 0, counted: int = 0) -> None:
        self.entries = entries
        self.tries = tries
        self.counted = counted

    def halves(self) -> Tuple["Attempts", "Attempts"]:
        middle = (len(self.entries) + 1) // 2
        first, second = self.entries[:middle], self.entries[middle:]
        return Attempts(first, self.tries, self.counted), Attempts(second, self.tries, self.counted)


class Notices:
    """Log lines that repeat: one a minute of each kind."""

    def __init__(self) -> None:
        self._last: "dict[str, float]" = {}

    def warn(self, kind: str, text: str, *values: object, exc_info: Optional[BaseException] = None) -> None:
        now = time.monotonic()
        if now - self._last.get(kind, -_MINUTE) >= _MINUTE:
            self._last[kind] = now
            log.warning(text, *values, exc_info=exc_info)

    def once(self, kind: str, text: str, *values: object) -> None:
        if kind not in self._last:
            self.warn(kind, text, *values)


class Courier:
    """Makes attempts and reads answers; the sender's thread and `send` have one each."""

    def __init__(self, options: Options, queue: Queue, notices: Notices) -> None:
        self.transport = Transport(options)
        self._options = options
        self._queue = queue
        self._notices = notices
        self._endpoint = options.endpoint
        self._backoff = Backoff(options.backoff_base, options.backoff_max, options.hooks.retry_after_scale)

    def attempt(self, work: Attempts, timeout: float) -> Answer:
        """Sends the batch once; sentAt is made anew, a stale one would shift corrected times by the delay."""
        for entry in work.entries:
            entry.attempts += 1
        sent_at = stamp(self._options.hooks.now())
        body = b'{"sentAt":"%s","batch":[%s]}' % (sent_at.encode("ascii"), b",".join([e.body for e in work.entries]))
        if work.tries:
            with self._queue.lock:
                self._queue.ledger.retries += 1
        answer = self.transport.post(body, work.tries, timeout)
        work.tries += 1
        if judge(answer.status) is not Verdict.DONE:
            self._tell(answer)
        return answer

    def fates(self, work: Attempts, answer: Answer) -> Optional[List[Fate]]:
        """The fates that an answer gives; None if the batch has to be tried again or split."""
        verdict = judge(answer.status)
        if verdict is Verdict.DONE:
            listed = rejections(answer, [e.id for e in work.entries])
            return [Fate(e, REJECTED, *listed[i]) if i in listed else Fate(e, DELIVERED) for i, e in enumerate(work.entries)]
        if verdict is Verdict.DROP or (verdict is Verdict.SPLIT and len(work.entries) == 1):
            return self._dropped(work, f"http_{answer.status}", answer)
        if verdict is Verdict.RETRY_COUNTED:
            work.counted += 1
            if work.counted >= self._options.max_attempts:
                return self._dropped(work, "max_attempts", answer)
        return None

    def _dropped(self, work: Attempts, reason: str, answer: Answer) -> List[Fate]:
        text = describe(answer)
        return [Fate(entry, DROPPED, reason, text) for entry in work.entries]

    def delay(self, work: Attempts, answer: Answer) -> Tuple[float, bool]:
        """Seconds to wait, and whether the server asked for them."""
        asked = retry_after(answer.retry_after, self._options.hooks.now())
        return self._backoff.delay(work.tries, asked), asked is not None

    def _tell(self, answer: Answer) -> None:
        text = describe(answer)
        with self._queue.lock:
            self._queue.ledger.last_error = text
        if answer.status in (401, 403):
            self._notices.warn("key", "write key …%s: %s; events are dropped", self._options.write_key[-4:], text)
        elif 300 <= answer.status < 400:
            text = f"HTTP {answer.status} is not followed; mend the endpoint or its proxy"
            self._notices.once("redirect", "%s: %s", self._endpoint, text)
        elif judge(answer.status) is Verdict.DROP:
            self._notices.warn("drop", "%s: %s; events are dropped", self._endpoint, text)
        elif judge(answer.status) is not Verdict.SPLIT:
            self._notices.warn("away", "%s: %s; events wait", self._endpoint, text)


class Sender:
    """Drains the queue until it is closed."""

    def __init__(self, options: Options, queue: Queue, notices: Notices) -> None:
        self._options = options
        self._queue = queue
        self._notices = notices
        self.courier = Courier(options, queue, notices)
        self._gone = False

    def run(self) -> None:
        """Returns when the queue is closed and drained, or its deadline has come."""
        self._queue.recover()
        while not self._gone:
            batch = self._queue.take()
            if batch is None:
                break
            if isinstance(batch, Refill):
                self._queue.refill()
            elif batch:
                self._deliver(batch)
            self.report()
        if not self._gone:
            self._queue.finish()
            self.report()
            self.courier.transport.close()

    def abandon(self) -> None:
        """Makes run return without a trace: this is the copy of a forked child, and the parent goes on with the work."""
        self._gone = True
        self.courier.transport.close()

    def _deliver(self, batch: List[Entry]) -> None:
        parts: Deque[Attempts] = deque([Attempts(batch)])
        while parts and not self._gone:
            work = parts[0]
            if not self._current(work):
                parts.popleft()
                continue
            timeout = self._time_left()
            if not self._queue.permitted() or timeout <= 0:
                self._give_up(parts)
                return
            answer = self.courier.attempt(work, timeout)
            fates = self.courier.fates(work, answer)
            if fates is not None:
                self._queue.settle(fates)
                self.report()
                parts.popleft()
            elif judge(answer.status) is Verdict.SPLIT:
                parts.popleft()
                parts.extendleft(reversed(work.halves()))
            else:
                self._rest(work, answer)

    def _current(self, work: Attempts) -> bool:
        """Gives events over the age limit their fate; False if none is left."""
        oldest = time.monotonic() - self._options.age_limit
        expired = [e for e in work.entries if e.born <= oldest]
        if expired:
            self._queue.settle([Fate(e, DROPPED, "expired") for e in expired])
            work.entries = [e for e in work.entries if e.born > oldest]
            self.report()
        return bool(work.entries)

    def _rest(self, work: Attempts, answer: Answer) -> None:
        seconds, firm = self.courier.delay(work, answer)
        expiry = min(e.born for e in work.entries) + self._options.age_limit
        self._queue.pause(seconds, firm, expiry)

    def _give_up(self, parts: Sequence[Attempts]) -> None:
        """Consent was withdrawn, or close's deadline has come (finish then gives the fates)."""
        if self._queue.denied():
            self._queue.settle([Fate(e, DROPPED, "consent") for part in parts for e in part.entries])

    def _time_left(self) -> float:
        deadline = self._queue.deadline
        if deadline is None:
            return self._options.timeout
        return min(self._options.timeout, deadline - time.monotonic())

    def report(self) -> None:
        """Tells the fates that nobody was told yet."""
        if self._options.on_result is None:
            return
        results = self._queue.collect()
        if results:
            self._tell(results)

    def _tell(self, results: List[Result]) -> None:
        assert self._options.on_result
        try:
            self._options.on_result(results)
        except BaseException as error:  # the application's, sys.exit included; the sender goes on
            self._notices.warn("callback", "on_result: %s", type(error).__name__, exc_info=error)
            with self._queue.lock:
                self._queue.ledger.callback_errors += 1

