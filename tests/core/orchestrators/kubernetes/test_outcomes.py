"""What an answer of the API server means for an effect. The bodies are as a 1.37 API server writes them."""

from __future__ import annotations

import msgspec
import pytest

from slimjobs.core.orchestrators.kubernetes.outcomes import of_change, of_creation, of_look_up
from slimjobs.core.orchestrators.ports import (
    Accepted,
    AlreadyExists,
    Created,
    Missing,
    ObservedJob,
    Outcome,
    Phase,
    Rejected,
    Unavailable,
)
from tests.core.orchestrators.kubernetes.objects import CLUSTER, NAME, RUN, UID, condition, job_json

SUSPENDED = ObservedJob(NAME, UID, CLUSTER, RUN, Phase.SUSPENDED)
QUOTA = f'jobs.batch "{NAME}" is forbidden: exceeded quota: few, requested: count/jobs.batch=1, used: 1, limited: 1'
ENDING = (
    f'jobs.batch "{NAME}" is forbidden: unable to create new content in namespace demo because it is being terminated'
)


def status(reason: str, message: str, name: str = NAME, *fields: str) -> bytes:
    """A Status; `fields` are what its causes are about."""
    causes = [{"reason": "FieldValueInvalid", "message": "field is immutable", "field": field} for field in fields]
    details = {"name": name, "group": "batch", "kind": "jobs", "causes": causes}
    return msgspec.json.encode(
        {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "details": details}
    )


def encoded(written: object) -> bytes:
    return msgspec.json.encode(written)


@pytest.mark.parametrize(
    ("code", "body", "outcome"),
    [
        (201, encoded(job_json(suspend=True)), Created(SUSPENDED)),
        (201, b"not to be read", Unavailable(f"{NAME} was created, but the answer cannot be read")),
        (409, status("AlreadyExists", "already exists"), None),
        # One writer of the quota was faster than another.
        (
            409,
            status("Conflict", 'Operation cannot be fulfilled on resourcequotas "few"', "few"),
            Unavailable('Operation cannot be fulfilled on resourcequotas "few"'),
        ),
        (400, status("BadRequest", "json: cannot unmarshal"), Rejected("json: cannot unmarshal")),
        (413, b"too large", Rejected("the API server answered with status 413")),
        (422, status("Invalid", "spec: Required value", NAME, "spec"), Rejected("spec: Required value")),
        (401, status("Unauthorized", "Unauthorized"), Unavailable("Unauthorized")),
        (403, status("Forbidden", QUOTA), Unavailable(QUOTA)),
        (403, status("Forbidden", ENDING), Unavailable(ENDING)),
        (404, status("NotFound", 'namespaces "demo" not found', "demo"), Unavailable('namespaces "demo" not found')),
        (429, status("TooManyRequests", ""), Unavailable("TooManyRequests")),
        (500, b"", Unavailable("the API server answered with status 500")),
        (503, b"<html>", Unavailable("the API server answered with status 503")),
    ],
)
def test_a_creation(code: int, body: bytes, outcome: Outcome | None) -> None:
    assert of_creation(NAME, code, body) == outcome


@pytest.mark.parametrize(
    ("code", "body", "outcome"),
    [
        (200, encoded(job_json(suspend=True)), AlreadyExists(SUSPENDED)),
        (
            200,
            encoded(job_json(condition("Complete"), ending=True)),
            AlreadyExists(ObservedJob(NAME, UID, CLUSTER, RUN, Phase.SUCCEEDED, ending=True)),
        ),
        (
            200,
            encoded(
                {**job_json(), "metadata": {"name": NAME, "uid": UID, "creationTimestamp": "2026-11-25T00:00:00Z"}}
            ),
            Unavailable(f"{NAME} is taken by another object"),
        ),
        (
            404,
            status("NotFound", "not found"),
            Unavailable(f"{NAME} is taken, and by whom is not known: not found"),
        ),
    ],
)
def test_a_name_that_was_taken(code: int, body: bytes, outcome: Outcome) -> None:
    assert of_look_up(NAME, code, body) == outcome


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"
PRECONDITION = "Precondition failed: UID in precondition: a, UID in object meta: b"
ANOTHER = (
    f'Operation cannot be fulfilled on Job.batch "{NAME}": the UID in the precondition (a) does not match the UID in '
    "record (b). The object might have been deleted and then recreated"
)


@pytest.mark.parametrize(
    ("code", "body", "outcome"),
    [
        (200, b"{}", Accepted()),
        (202, b"{}", Accepted()),
        (404, status("NotFound", "not found"), Missing()),
        # The kind is not served (yet), or not here: that says nothing of the object.
        (
            404,
            status("NotFound", "the server could not find the requested resource", ""),
            Unavailable("the server could not find the requested resource"),
        ),
        (404, b"404 page not found", Unavailable("the API server answered with status 404")),
        (422, status("Invalid", "field is immutable", NAME, "metadata.uid"), Missing()),
        (409, status("Conflict", PRECONDITION), Missing()),
        (409, status("Conflict", ANOTHER), Missing()),
        (409, status("Conflict", MODIFIED), Unavailable(MODIFIED)),
        (422, status("Invalid", "must be positive", NAME, "spec.activeDeadlineSeconds"), Rejected("must be positive")),
        (403, status("Forbidden", "cannot patch jobs"), Unavailable("cannot patch jobs")),
        (500, status("InternalError", "etcd is away"), Unavailable("etcd is away")),
    ],
)
def test_a_change_of_the_object_of_a_uid(code: int, body: bytes, outcome: Outcome) -> None:
    assert of_change(NAME, code, body) == outcome
