"""A client's inside: queue, sender and thread, and how they begin, fork and end.

An Engine outlives its Client when that becomes unreachable with events queued: the thread holds the engine alone, drains
it and ends. No engine exists before a client is made, and importing the package starts nothing.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from functools import partial
from typing import Optional, Tuple

from ._direct import Direct
from ._ids import IdSource
from ._options import Options
from ._entry import Entry, Phase
from ._folder import forget_owners
from ._options import GRANTED
from ._queue import Queue
from ._sender import Notices, Sender
from ._spool import Spool

EXIT_SECONDS = 2.0
_GRACE = 1.0  # for a thread whose socket was just shut down

_engines: "weakref.WeakSet[Engine]" = weakref.WeakSet()
_hooked = False
_worker = 0  # pid of the worker process whose exit is hooked
_hook_lock = threading.RLock()


class Engine:
    """Everything of a client but its calls."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.ids = IdSource()
        self.notices = Notices()
        self._build()
        _watch(self)
        if self.queue.spool and options.consent == GRANTED:
            self._start()  # what an earlier process left is sent without a first event

    def _build(self) -> None:
        """Makes all that has locks, threads and sockets; a forked child does so again."""
        self.queue = Queue(self.options)
        if self.options.spool_dir:
            self.queue.spool = Spool(self.options, self.queue, self.notices)
        self._sender = Sender(self.options, self.queue, self.notices)
        self.direct = Direct(self.options, self.queue, self.notices)
        self._thread: Optional[threading.Thread] = None
        self._start_lock = threading.RLock()  # a signal handler may call within a call

    def new_id(self, now: float) -> str:
        """A message id."""
        own = self.options.hooks.new_id
        return own() if own else self.ids.new(int(now * 1000))

    def entry(self, message_id: str, body: bytes, coerced: int) -> Entry:
        """An event that has its bytes."""
        if coerced:
            self.queue.lock.soon(partial(self.queue.ledger.coerce, coerced))
        return Entry(message_id, body, time.monotonic())

    def refuse(self, reason: str, error: Optional[str]) -> None:
        """Counts a refusal that came before the queue; what the application did wrong is logged."""
        self.queue.lock.soon(partial(self.queue.ledger.refuse, reason, error))
        if error:
            self.notices.warn(reason, "%s: %s", reason, error)

    def callback_failed(self, error: str) -> None:
        """Counts an exception of the application's code."""
        self.queue.lock.soon(partial(self.queue.ledger.blame, error))
        self.notices.warn("middleware", "%s; the event is dropped", error)

    def take(self, entry: Entry) -> bool:
        """Queues an encoded event; False if it is refused."""
        if self._thread is None and self.queue.phase is Phase.OPEN:
            self._start()  # before the event, so that calls in a row are not parted by it
        return not self.queue.offer(entry, self.options.overflow == "block" and not self._inside())

    def _start(self) -> bool:
        """Starts what is not running; without consent no spool, because nothing may be stored."""
        with self._start_lock:
            try:
                if self.queue.spool and self.queue.consent == GRANTED:
                    self.queue.spool.start()
                if self._thread is None:
                    _close_with_worker()
                    self.queue.begin_sending()
                    self._thread = threading.Thread(target=self._run, args=(self._sender,), name="millstream", daemon=True)
                    self._thread.start()  # noted before: a signal handler that calls meanwhile must start no other
            except RuntimeError as error:  # out of threads, or the interpreter ends: the next call or close tries again
                self._thread = None
                self.notices.warn("thread", "thread: %s", error)
                return False
            return True

    def _run(self, sender: Sender) -> None:
        """The thread. It holds the engine, so that the exit waits for one whose client is gone."""
        try:
            sender.run()
        except BaseException as error:  # a bug of ours: the next call, or close, starts another thread
            self.notices.warn("bug", "sender: %s", type(error).__name__, exc_info=error)
            if sender is self._sender:
                self._thread = None
        if sender is self._sender:
            self.queue.end_sending()

    def set_consent(self, state: str) -> None:
        """Changes the consent; granted, the spool may begin."""
        self.queue.set_consent(state)
        if state == GRANTED and self.queue.spool and self.queue.phase is Phase.OPEN:
            self._start()

    def _inside(self) -> bool:
        """Whether on_result calls us: the sender must not wait for itself."""
        return threading.current_thread() is self._thread

    def flush(self, timeout: float) -> Tuple[int, int]:
        """Returns the numbers left: in memory only, and safe in the spool."""
        return self.queue.flush(0.0 if self._inside() else timeout)

    def close(self, timeout: float) -> Tuple[int, int]:
        """Ends everything within timeout, and a moment for the thread to notice. Returns how many events were dropped
        for it, and how many the spool keeps."""
        if self.queue.begin_close(timeout):
            self.end(timeout)
        elif not self._inside():
            self.queue.await_closed()
        return self.queue.left_by_close()

    def end(self, timeout: float) -> None:
        """The second half of close. Whoever else is about it does no harm."""
        if self._thread is None and not (self.queue.waiting and self._start()):
            self._thread = threading.current_thread()  # nobody else would
            self._run(self._sender)
            self._thread = None
        with self._start_lock:
            thread = self._thread
        if self._inside():  # on_result closes: the thread ends when that returns
            self.direct.close()
            return
        ended = thread is None
        if thread is not None and thread.ident is not None:  # None: a signal handler closes while the thread starts
            ended = self._join(thread, timeout)
            if not ended:
                self._sender.courier.transport.abort()
                ended = self._join(thread, _GRACE)
        self.queue.finish()  # for a thread that hangs in a name look-up or in on_result, or has died
        if ended:
            self._sender.report()
        self.direct.close()

    def _join(self, thread: threading.Thread, timeout: float) -> bool:
        """Waits for the thread's end, also in a signal handler that has interrupted a call: the call holds the lock."""
        if self.queue.lock.interrupted():
            return self.queue.await_sender(timeout)
        thread.join(timeout)
        return not thread.is_alive()

    def release(self) -> None:
        """The client became unreachable: drain and end, without anybody waiting."""
        self.queue.begin_close(EXIT_SECONDS)

    def reset(self) -> None:
        """In a forked child: empty queue, no thread, own locks. What was queued stays the parent's."""
        ended, consent = self.queue.phase is not Phase.OPEN, self.queue.consent
        self._sender.abandon()
        self.direct.forget()
        if self.queue.spool:
            self.queue.spool.abandon()
        self._build()
        self.queue.consent = consent
        if ended:
            self.queue.phase = Phase.CLOSED
        self.ids.renew_lock()


def _watch(engine: Engine) -> None:
    global _hooked
    with _hook_lock:
        _engines.add(engine)
        if not _hooked:
            _hooked = True
            atexit.register(_at_exit)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=_after_fork)


def _close_with_worker() -> None:
    """Workers of multiprocessing leave by os._exit, which skips atexit; they have an exit hook of their own."""
    global _worker
    process, util = sys.modules.get("multiprocessing.process"), sys.modules.get("multiprocessing.util")
    if process and util and process.parent_process() is not None and _worker != os.getpid():
        _worker = os.getpid()
        util.Finalize(None, _at_exit, exitpriority=-100)


def _at_exit() -> None:
    """Closes what is open, also without a client, within two seconds in all."""
    end = time.monotonic() + EXIT_SECONDS
    engines = [engine for engine in list(_engines) if engine.queue.phase is not Phase.CLOSED]
    for engine in engines:
        engine.queue.begin_close(EXIT_SECONDS)
    for engine in engines:
        engine.end(max(end - time.monotonic(), 0.0))


def _after_fork() -> None:
    global _hook_lock
    _hook_lock = threading.RLock()
    forget_owners()
    for engine in list(_engines):
        engine.reset()
