"""From a call's arguments to the event that is encoded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, Optional, Tuple, TypeVar
from uuid import UUID

from ._encode import MAX_DEPTH, Invalid, instant
from ._types import Event, Identifier, Members, Timestamp

T = TypeVar("T")

_NEEDED = {
    "identify": (),
    "track": ("event",),
    "page": (),
    "screen": (),
    "group": ("groupId",),
    "alias": ("userId", "previousId"),
}
_IDS = ("userId", "anonymousId", "groupId", "previousId")
_TEXTS = ("event", "name", "category")
_OBJECTS = ("properties", "traits", "context", "integrations")


class Calls(Generic[T]):
    """The six event calls: argument order and names are those of segment-analytics-python. ``user_id`` or
    ``anonymous_id`` is required; ids are text, integers or UUIDs. A ``timestamp`` without a zone is local time.
    Arguments are encoded before a call returns, so later changes of them have no effect."""

    __slots__ = ()

    def _take(self, event: Event) -> T:
        raise NotImplementedError

    def identify(
        self, user_id: Optional[Identifier] = None, traits: Optional[Members] = None, context: Optional[Members] = None,
        timestamp: Optional[Timestamp] = None, anonymous_id: Optional[Identifier] = None,
        integrations: Optional[Members] = None, message_id: Optional[str] = None,
    ) -> T:
        """Says who a person is."""
        return self._take({
            "type": "identify", "messageId": message_id, "timestamp": timestamp, "userId": user_id, "anonymousId": anonymous_id,
            "traits": traits, "context": context, "integrations": integrations,
        })

    def track(
        self, user_id: Optional[Identifier] = None, event: Optional[str] = None, properties: Optional[Members] = None,
        context: Optional[Members] = None, timestamp: Optional[Timestamp] = None,
        anonymous_id: Optional[Identifier] = None, integrations: Optional[Members] = None,
        message_id: Optional[str] = None,
    ) -> T:
        """Says what a person did; ``event`` is required."""
        return self._take({
            "type": "track", "messageId": message_id, "timestamp": timestamp, "userId": user_id, "anonymousId": anonymous_id,
            "event": event, "properties": properties, "context": context, "integrations": integrations,
        })

    def page(
        self, user_id: Optional[Identifier] = None, category: Optional[str] = None, name: Optional[str] = None,
        properties: Optional[Members] = None, context: Optional[Members] = None, timestamp: Optional[Timestamp] = None,
        anonymous_id: Optional[Identifier] = None, integrations: Optional[Members] = None,
        message_id: Optional[str] = None,
    ) -> T:
        """Says which page of a site a person saw."""
        names = category, name
        return self._take(_view("page", user_id, names, properties, context, timestamp, anonymous_id, integrations, message_id))

    def screen(
        self, user_id: Optional[Identifier] = None, category: Optional[str] = None, name: Optional[str] = None,
        properties: Optional[Members] = None, context: Optional[Members] = None, timestamp: Optional[Timestamp] = None,
        anonymous_id: Optional[Identifier] = None, integrations: Optional[Members] = None,
        message_id: Optional[str] = None,
    ) -> T:
        """Says which screen of an application a person saw."""
        names = category, name
        return self._take(_view("screen", user_id, names, properties, context, timestamp, anonymous_id, integrations, message_id))

    def group(
        self, user_id: Optional[Identifier] = None, group_id: Optional[Identifier] = None,
        traits: Optional[Members] = None, context: Optional[Members] = None, timestamp: Optional[Timestamp] = None,
        anonymous_id: Optional[Identifier] = None, integrations: Optional[Members] = None,
        message_id: Optional[str] = None,
    ) -> T:
        """Says which company or team a person belongs to; ``group_id`` is required."""
        return self._take({
            "type": "group", "messageId": message_id, "timestamp": timestamp, "userId": user_id, "anonymousId": anonymous_id,
            "groupId": group_id, "traits": traits, "context": context, "integrations": integrations,
        })

    def alias(
        self, previous_id: Optional[Identifier] = None, user_id: Optional[Identifier] = None,
        context: Optional[Members] = None, timestamp: Optional[Timestamp] = None,
        integrations: Optional[Members] = None, message_id: Optional[str] = None,
    ) -> T:
        """Says that two ids are one person; both are required."""
        return self._take({
            "type": "alias", "messageId": message_id, "timestamp": timestamp, "userId": user_id, "previousId": previous_id,
            "context": context, "integrations": integrations,
        })


def _view(
    kind: str, user_id: Optional[Identifier], names: Tuple[Optional[str], Optional[str]], properties: Optional[Members],
    context: Optional[Members], timestamp: Optional[Timestamp], anonymous_id: Optional[Identifier],
    integrations: Optional[Members], message_id: Optional[str],
) -> Event:
    return {
        "type": kind, "messageId": message_id, "timestamp": timestamp, "userId": user_id, "anonymousId": anonymous_id,
        "category": names[0], "name": names[1], "properties": properties, "context": context, "integrations": integrations,
    }


def complete(event: Event) -> Event:
    """Returns the event that is sent: ids as text, absent members left out. Raises Invalid."""
    kind = event.get("type")
    if not isinstance(kind, str) or kind not in _NEEDED:
        raise Invalid(f"type: must be one of {', '.join(_NEEDED)}")
    out = {name: value for name, value in event.items() if value is not None}
    for name in _IDS:
        if name in out:
            _set_id(out, name)
    for name in _TEXTS:
        if name in out and not isinstance(out[name], str):
            raise Invalid(f"{kind}: {name} must be text (got {type(out[name]).__name__})")
    for name in _OBJECTS:
        if name in out and not isinstance(out[name], Mapping):
            raise Invalid(f"{kind}: {name} must be a dict (got {type(out[name]).__name__})")
    if "userId" not in out and "anonymousId" not in out:
        raise Invalid(f"{kind}: needs user_id or anonymous_id")
    for name in _NEEDED[kind]:
        if not out.get(name):
            raise Invalid(f"{kind}: needs {name}")
    message_id = out.get("messageId")
    if not isinstance(message_id, str) or not message_id:
        raise Invalid(f"{kind}: messageId must be text")
    out["timestamp"] = _stamp(out.get("timestamp"))
    return out


def _set_id(out: Event, name: str) -> None:
    value = out[name]
    if isinstance(value, (int, UUID)) and not isinstance(value, bool):
        out[name] = str(value)
    elif not isinstance(value, str):
        raise Invalid(f"{name}: must be text, an integer or a UUID (got {type(value).__name__})")
    elif not value:
        del out[name]


def _stamp(value: Any) -> str:
    if isinstance(value, datetime):
        return instant(value, "milliseconds")
    if isinstance(value, str) and value:
        return value
    raise Invalid(f"timestamp: must be a datetime or RFC 3339 text (got {type(value).__name__})")


def private_copy(value: Any, depth: int = 1) -> Any:
    """Copies dicts and lists, so that middleware changes the event and not the caller's objects."""
    if depth > MAX_DEPTH:
        raise Invalid(f"nested deeper than {MAX_DEPTH}, or within itself")
    if isinstance(value, Mapping):
        return {name: private_copy(member, depth + 1) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [private_copy(member, depth + 1) for member in value]
    return value
