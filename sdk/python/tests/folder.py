"""A spool's folder, clients that use it, and what earlier ones have left there."""

import json
import os
import shutil
import socket
import tempfile
import time
import unittest

from millstream import _folder
from support import Server, check_sum, client, eventually

OWNER = "aaaaaaaaaaaaaaaa"
OTHER = "bbbbbbbbbbbbbbbb"


class Folder(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def client(self, url, **options):
        made = {"spool_dir": self.dir, "spool_fsync": "always"}
        made.update(options)
        return client(url, **made)

    def names(self, end=""):
        return sorted(name for name in os.listdir(self.dir) if name.endswith(end))

    def put(self, name, text, age=0.0):
        path = os.path.join(self.dir, name)
        with open(path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        os.utime(path, (time.time() - age, time.time() - age))

    def dead(self, *lines, owner=OWNER, sequence=1, lease=None, **options):
        """A dead owner's segment."""
        text = b"".join(line if isinstance(line, bytes) else line_of(line) for line in lines)
        self.put(f"{owner}-{sequence:016d}.ndjson", text, **options)
        self.put(f"{owner}.lease", lease or lease_of(os.getpid()))

    def drained(self, count, **options):
        """What a client finds and sends; the folder must be empty then."""
        with Server() as server, self.client(server.url, **options) as c:
            eventually(lambda: len(server.accepted()) >= count, reason=f"{count} events")
            eventually(lambda: c.stats().spooled == 0)
            c.close()
            check_sum(self, c.stats())
            self.assertEqual(self.names(), [])
            return [e["properties"]["n"] for e in server.accepted()], c.stats()


def lease_of(pid, host=None, where=None):
    return f"{host or socket.gethostname()} {pid} {where or _folder.namespace()}\n"


def line_of(n):
    return json.dumps({"type": "track", "messageId": f"m{n}", "userId": "u1", "event": "A", "properties": {"n": n}}).encode() + b"\n"


def paid(c, *range_):
    for n in range(*range_):
        assert c.track("u1", "A", {"n": n}, message_id=f"m{n}")
