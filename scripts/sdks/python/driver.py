"""Sends calls with segment-analytics-python. See ../README.md.

In mode "single" the client is in sync mode: each call is a request, and an
error is raised to the caller. Otherwise a thread gathers calls into batches.
"""

import json
import logging
import sys
import threading

from segment.analytics.client import Client


def arguments(call):
    names = {
        "userId": "user_id", "anonymousId": "anonymous_id", "event": "event", "properties": "properties", "traits": "traits",
        "name": "name", "category": "category", "groupId": "group_id", "previousId": "previous_id",
    }
    return {names[member]: value for member, value in call.items() if member != "type"}


def run(spec):
    errors = []
    sync = spec["mode"] == "single"
    client = Client(
        spec["writeKey"], host=spec["host"], gzip=spec.get("gzip", False), sync_mode=sync,
        timeout=(spec.get("timeoutMs") or 10000) / 1000, on_error=lambda e, _: errors.append(str(e)),
    )
    for call in spec["calls"]:
        try:
            getattr(client, call["type"])(**arguments(call))
        except Exception as e:  # in sync mode: what the caller is told
            errors.append(str(e))
    if not sync:
        client.shutdown()
    return {"errors": errors}


written = threading.Lock()


def answer(spec):
    try:
        result = run(spec)
    except Exception as e:
        result = {"errors": [], "failed": repr(e)}
    with written:
        print(json.dumps({"id": spec["id"], **result}), flush=True)


logging.disable(logging.CRITICAL)
threads = []
for line in sys.stdin:
    threads.append(threading.Thread(target=answer, args=(json.loads(line),)))
    threads[-1].start()
for thread in threads:
    thread.join()
