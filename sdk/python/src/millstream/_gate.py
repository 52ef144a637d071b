"""The queue's lock, and what happens when somebody interrupts its holder.

A signal handler runs between two instructions of the main thread, the garbage collector's finalisers between two of any:
also of a thread that holds the lock and is half-way through a change. So the lock may be entered again, and a change that
comes that way waits until the thread lets go.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Callable, Deque


class Gate:
    """A lock for `with`; conditions are made of `inner`."""

    def __init__(self) -> None:
        self.inner = threading.RLock()
        self.interrupted: Callable[[], bool] = self.inner._is_owned  # type: ignore[attr-defined]
        """Whether the caller's thread holds the lock: between calls into the queue it does only when interrupted."""
        self._late: Deque[Callable[[], object]] = deque()

    def __enter__(self) -> None:
        self.inner.acquire()

    def __exit__(self, *_: object) -> None:
        self.inner.release()
        while self._late and not self.interrupted():
            with self.inner:
                if self._late:
                    self._late.popleft()()

    def soon(self, change: Callable[[], object]) -> None:
        """Makes a change under the lock: at once, or when the interrupted holder has ended its own."""
        if self.interrupted():
            self._late.append(change)
        else:
            with self:
                change()


class Signal(threading.Condition):
    """A condition that a thread may notify while it is interrupted in notifying."""

    def notify(self, n: int = 1) -> None:
        try:
            super().notify(n)
        except RuntimeError:  # before Python 3.11: the interruption has released the waiter already
            super().notify(n)
