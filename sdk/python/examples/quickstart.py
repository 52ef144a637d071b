"""Queues two events and sends them when the block ends. MILLSTREAM_URL and MILLSTREAM_KEY say where to."""

import os

from millstream import Client

with Client(os.environ["MILLSTREAM_KEY"], endpoint=os.environ["MILLSTREAM_URL"]) as c:
    c.identify("u1", {"plan": "pro"})
    c.track("u1", "Order Completed", {"total": 12.5})
print("delivered", c.stats().delivered)
