"""Message ids: UUIDv7 (RFC 9562) that rise within a client."""

from __future__ import annotations

import os
import threading

_COUNTER_MAX = 0xFFF
_COUNTER_START = 0x7FF  # at most: room for 2,048 ids before a millisecond has to be borrowed


class IdSource:
    """Makes ids of milliseconds, a 12-bit counter and 62 random bits. Safe for threads; a forked child may go on
    with its copy, because the random bits come from the system."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._millis = 0
        self._count = 0

    def new(self, millis: int) -> str:
        """Returns an id later than every earlier one, also when the clock stands still or steps back."""
        noise = int.from_bytes(os.urandom(10), "big")
        with self._lock:
            if millis > self._millis:
                self._millis = millis
                self._count = noise & _COUNTER_START
            elif self._count < _COUNTER_MAX:
                self._count += 1
            else:
                self._millis += 1
                self._count = noise & _COUNTER_START
            head, count = self._millis, self._count
        stamp = f"{head:012x}"
        variant = 0x8000 | (noise >> 16 & 0x3FFF)
        return f"{stamp[:8]}-{stamp[8:]}-7{count:03x}-{variant:04x}-{noise >> 32:012x}"

    def renew_lock(self) -> None:
        """Replaces the lock in a forked child: a thread that is not there any more may hold it."""
        self._lock = threading.RLock()
