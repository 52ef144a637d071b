"""Millstream's tracking client: bounded memory, a durable spool if wanted, one known fate for each event.

    from millstream import Client

    with Client("WRITE_KEY", endpoint="https://in.example.com") as c:
        c.track("u1", "Order Completed", {"total": 12.5})
"""

from ._client import Client, Sending
from ._types import Event, Middleware, Result, Stats, Undelivered
from ._version import __version__

__all__ = ["Client", "Event", "Middleware", "Result", "Sending", "Stats", "Undelivered", "__version__"]
