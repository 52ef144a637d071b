"""A function that is frozen after its answer: each event is sent before it returns."""

import os

from millstream import Client

client = Client(os.environ["MILLSTREAM_KEY"], endpoint=os.environ["MILLSTREAM_URL"])  # kept between calls, with its connection


def handler(request):
    result = client.send(timeout=3).track(request["user"], "Function Called", {"path": request["path"]})
    return {"status": 200, "tracked": result.delivered}


if __name__ == "__main__":
    print(handler({"user": "u1", "path": "/"}), handler({"user": "u2", "path": "/cart"}))
