"""Each example runs, and so does the README's quick start."""

import inspect
import os
import pathlib
import re
import subprocess
import sys
import unittest

from millstream import Client
from support import Server

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run(server, code):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1",
                   "MILLSTREAM_URL": server.url, "MILLSTREAM_KEY": "k"}
    return subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True, timeout=60)


class Examples(unittest.TestCase):
    def test_each_example_delivers(self):
        want = {"quickstart.py": 2, "serverless.py": 2, "durable.py": 100}
        self.assertEqual({p.name for p in (ROOT / "examples").glob("*.py")}, set(want))
        for name, events in want.items():
            with self.subTest(name=name), Server() as server:
                done = run(server, (ROOT / "examples" / name).read_text("utf-8"))
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertEqual(len(server.accepted()), events)
                self.assertNotIn("email", str([r.json for r in server.requests]))

    def test_the_readmes_quick_start_delivers(self):
        code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)[1]
        self.assertEqual(len(code.strip().splitlines()), 5)
        with Server() as server:
            done = run(server, code.replace("https://in.example.com", server.url))
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(len(server.accepted()), 2)

    def test_the_readme_knows_every_option(self):
        text = (ROOT / "README.md").read_text("utf-8")
        for name in inspect.signature(Client).parameters:
            if not name.startswith("_"):
                self.assertRegex(text, f"`{name}`|{name.upper()}")


if __name__ == "__main__":
    unittest.main()
