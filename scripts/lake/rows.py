"""Prints the rows of Parquet files as pyarrow reads them, for the integration tests of the batcher.

Standard input names a file a line. Each row is a line of JSON: names of columns and values without nulls. Timestamps are
microseconds since 1970 in UTC, dates days since then, doubles their 64 bits, decimals their text, bytes base64.
"""

import base64
import datetime
import decimal
import json
import struct
import sys

import pyarrow
import pyarrow.parquet

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def plain(value):
    if isinstance(value, datetime.datetime):
        return (value - EPOCH) // datetime.timedelta(microseconds=1)
    if isinstance(value, datetime.date):
        return (value - EPOCH.date()).days
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, float):
        return struct.unpack("<q", struct.pack("<d", value))[0]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value


def main():
    for line in sys.stdin:
        table = pyarrow.parquet.read_table(line.rstrip("\n"), partitioning=None)
        for field in table.schema:
            if pyarrow.types.is_timestamp(field.type) and (field.type.unit, field.type.tz) != ("us", "UTC"):
                sys.exit(f"{line}: {field} is no timestamp of microseconds in UTC")
        for row in table.to_pylist():
            print(json.dumps({name: plain(value) for name, value in row.items() if value is not None}))


main()
