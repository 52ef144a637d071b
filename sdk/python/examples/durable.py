"""A queue that survives a crash, middleware that keeps e-mail addresses out, and a callback that sees what was lost."""

import os
import tempfile

from millstream import Client


def redact(event):
    event.get("properties", {}).pop("email", None)
    return event


def lost(results):
    for r in results:
        if not r.delivered:
            print("lost", r.message_id, r.code, r.message)


spool = os.environ.get("SPOOL") or tempfile.mkdtemp()
with Client(
    os.environ["MILLSTREAM_KEY"],
    endpoint=os.environ["MILLSTREAM_URL"],
    spool_dir=spool,
    spool_fsync="always",
    middleware=[redact],
    on_result=lost,
) as c:
    for n in range(100):
        c.track("u1", "Order Completed", {"total": n, "email": "someone@example.com"})
print("delivered", c.stats().delivered, "left in the spool", c.stats().spooled)
