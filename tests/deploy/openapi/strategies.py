"""What schemathesis needs to be told, as a hook module of its own process: what our formats' names mean, how NDJSON is
written, and what no schema can say of a body.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import schemathesis
from hypothesis import strategies as st

from slimjobs.http.parameters import MAX_WAIT_SECONDS

ENTRY: Final = st.sampled_from(["*", "*/7", "1-5", "2,3"])
SHORTLY: Final = 0.01
LINES: Final = st.lists(st.sampled_from(['{"Name":"fibonacci"}', '{"Name":"nobody","Args":["1"]}', ""]))

FORMATS: Final = {
    "cron": st.tuples(ENTRY, ENTRY, ENTRY, ENTRY, ENTRY).map(" ".join) | st.just("@hourly"),
    "time-zone": st.sampled_from(["UTC", "Europe/Paris", "Asia/Kolkata"]),
    "resource-name": st.sampled_from(["cpu", "memory"]),
    "quantity": st.sampled_from(["1", "1000m", "1e0"]),  # no request is above a limit, where all are the same
    "cursor": st.just(""),
    "ndjson": LINES.map(lambda lines: "\n".join(['{"Name":"fibonacci"}', *lines])),
}
_used_keys: Final = set[str]()

for name, strategy in FORMATS.items():
    schemathesis.openapi.format(name, strategy)


@schemathesis.serializer("application/x-ndjson")
def lines(_: schemathesis.SerializationContext, value: object) -> bytes:
    """A text as it stands; anything else as a line of JSON."""
    return (value if isinstance(value, str) else json.dumps(value)).encode()


@schemathesis.hook
def before_call(_: schemathesis.HookContext, case: schemathesis.Case[Any], __: Mapping[str, object]) -> None:
    """Let no variable be set twice and no key be used twice, and wait for nothing that long."""
    with suppress(KeyError, TypeError, ValueError):
        if SHORTLY < float(case.query["wait"]) <= MAX_WAIT_SECONDS:
            case.query["wait"] = SHORTLY
    if (key := case.headers.get("Idempotency-Key")) is not None:
        if key in _used_keys:
            del case.headers["Idempotency-Key"]
        _used_keys.add(key)
    body: object = case.body
    for each in body if isinstance(body, list) else [body]:
        if isinstance(each, dict) and isinstance(each.get("Environments"), list):
            each["Environments"] = _without_repeated_names(each["Environments"])


def _without_repeated_names(variables: Sequence[object]) -> list[object]:
    named = {_name_of(each): each for each in variables if _name_of(each) is not None}
    return [*named.values(), *(each for each in variables if _name_of(each) is None)]


def _name_of(variable: object) -> str | None:
    name = variable.get("name") if isinstance(variable, dict) else None
    return name if isinstance(name, str) else None
