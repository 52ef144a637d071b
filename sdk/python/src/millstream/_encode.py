"""Values to JSON bytes: exact numbers, valid UTF-8, nothing that JSON does not have.

The C encoder of the standard library does nearly all events. What it would get wrong (NaN, Decimal, deep nesting) or
refuses goes through the encoder below, which alone decides what is invalid.
"""

from __future__ import annotations

import dataclasses
import json
import numbers
from collections.abc import Mapping
from datetime import date, datetime, time, timezone
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from json.encoder import encode_basestring as _quote
from time import gmtime, strftime
from typing import Any, List, Tuple
from uuid import UUID

MAX_DEPTH = 200  # objects and lists, the event itself being the first
_MAX_INT_BITS = 870_000  # more have over 256 KiB of digits


class Invalid(ValueError):
    """An event that has no JSON form; the text says where and why, without values."""


class _Careful(Exception):
    """The C encoder met something that only the careful one can write."""


def encode(event: Mapping[str, Any]) -> Tuple[bytes, int]:
    """Returns the event's bytes, and how many NaN and infinities became null. Raises Invalid."""
    try:
        text = _fast(event)
        if text.count("{") + text.count("[") <= MAX_DEPTH:
            return text.encode("utf-8", "backslashreplace"), 0  # a lone surrogate becomes its JSON escape
    except (_Careful, ValueError, TypeError, RecursionError):
        pass
    writer = _Writer()
    writer.write(event, 1)
    return "".join(writer.parts).encode("utf-8", "backslashreplace"), writer.coerced


def instant(moment: datetime, timespec: str = "") -> str:
    """RFC 3339 in UTC; a naive time is local. Milliseconds, or microseconds if there are any."""
    utc = moment.astimezone(timezone.utc).replace(tzinfo=None)
    spec = timespec or ("microseconds" if utc.microsecond % 1000 else "milliseconds")
    return utc.isoformat(timespec=spec) + "Z"


def stamp(seconds: float) -> str:
    """RFC 3339 with milliseconds from the epoch's seconds."""
    whole, millis = divmod(round(seconds * 1000), 1000)
    return f"{_second(whole)}.{millis:03d}Z"


@lru_cache(maxsize=2)  # most calls are of the second of the call before
def _second(whole: int) -> str:
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(whole))


def plain(value: object) -> Any:
    """Returns the JSON-like value that stands for another type. Raises Invalid for types without one."""
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, numbers.Integral):  # numpy's
        return int(value)
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Rational):
        return float(value)
    raise Invalid(f"a value of type {type(value).__name__} has no JSON form; pass text, numbers, dicts or lists")


def _default(value: object) -> Any:
    if isinstance(value, Decimal):
        raise _Careful
    return plain(value)


_fast = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_default).encode


def _digits(value: int) -> str:
    try:
        return int.__repr__(value)
    except ValueError:  # Python limits the digits of int's own conversion
        if value.bit_length() > _MAX_INT_BITS:
            raise Invalid("an integer of more than 256 KiB of digits") from None
        return str(Decimal(value))


class _Writer:
    """The careful encoder."""

    def __init__(self) -> None:
        self.parts: List[str] = []
        self.coerced = 0

    def write(self, value: object, depth: int) -> None:
        if isinstance(value, str):
            self.parts.append(_quote(value))
        elif value is None or value is True or value is False:
            self.parts.append("null" if value is None else "true" if value else "false")
        elif isinstance(value, int):
            self.parts.append(_digits(value))
        elif isinstance(value, (float, Decimal)):
            self.parts.append(self._real(value))
        elif isinstance(value, dict):
            self._object(value, depth)
        elif isinstance(value, (list, tuple)):
            self._array(value, depth)
        else:
            self.write(plain(value), depth)

    def _real(self, value: Any) -> str:
        finite = value.is_finite() if isinstance(value, Decimal) else value - value == 0
        if not finite:
            self.coerced += 1
            return "null"
        return str(value) if isinstance(value, Decimal) else float.__repr__(value)

    def _object(self, value: "dict[Any, Any]", depth: int) -> None:
        _check_depth(depth)
        lead = "{"
        for key, member in value.items():
            self.parts += (lead, _quote(_name(key)), ":")
            self.write(member, depth + 1)
            lead = ","
        self.parts.append("{}" if lead == "{" else "}")

    def _array(self, value: Any, depth: int) -> None:
        _check_depth(depth)
        lead = "["
        for member in value:
            self.parts.append(lead)
            self.write(member, depth + 1)
            lead = ","
        self.parts.append("[]" if lead == "[" else "]")


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Invalid(f"nested deeper than {MAX_DEPTH}, or within itself")


def _name(key: object) -> str:
    """Member names as the json module writes them, so that both encoders agree."""
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, (bool, int, float)):
        return json.dumps(key)
    if isinstance(key, UUID):
        return str(key)
    raise Invalid(f"a member name of type {type(key).__name__}; names are text")
