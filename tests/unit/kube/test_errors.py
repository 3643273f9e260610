"""What answers of the API server mean."""

from __future__ import annotations

import json
from datetime import timedelta

import aiohttp
import pytest

from backstay.domain.errors import (
    AlreadyExists,
    BackstayError,
    Conflict,
    DataError,
    NotFound,
    NotServed,
    Refused,
    Transient,
    UserError,
)
from backstay.kube.errors import Busy, from_response, from_transport


def status_body(reason: str, message: str, **details: object) -> bytes:
    state = {"kind": "Status", "reason": reason, "message": message, "details": details}
    return json.dumps(state).encode()


@pytest.mark.parametrize(
    ("status", "reason", "meaning"),
    [
        (400, "BadRequest", DataError),
        (401, "Unauthorized", Refused),
        (403, "Forbidden", Refused),
        (404, "NotFound", NotFound),
        (405, "MethodNotAllowed", DataError),
        (408, "Timeout", Busy),
        (409, "AlreadyExists", AlreadyExists),
        (409, "Conflict", Conflict),
        (410, "Expired", Transient),
        (412, "", Conflict),
        (413, "RequestEntityTooLarge", DataError),
        (422, "Invalid", UserError),
        (429, "TooManyRequests", Busy),
        (500, "InternalError", Busy),
        (503, "ServiceUnavailable", Busy),
        (504, "Timeout", Busy),
    ],
)
def test_each_status_has_one_meaning(
    status: int, reason: str, meaning: type[BackstayError]
) -> None:
    error = from_response(status, status_body(reason, "because"), {}, "create Pod shop/x")
    assert type(error) is meaning
    assert error.message == f"create Pod shop/x: because (HTTP {status})"


@pytest.mark.parametrize("body", [b"404 page not found\n", b"", b"{}", b"[]"])
def test_a_path_without_a_handler_says_nothing_of_its_objects(body: bytes) -> None:
    error = from_response(404, body, {}, "get BackupPolicy shop/x")
    assert type(error) is NotServed
    assert "CustomResourceDefinition" in error.message


@pytest.mark.parametrize(
    ("causes", "meaning"),
    [
        ([{"field": "spec.x", "message": "too long"}], UserError),
        ([{"message": "ValidatingAdmissionPolicy 'p' denied request: no"}], Refused),
    ],
)
def test_what_names_no_field_was_denied_by_a_rule_that_may_change(
    causes: list[dict[str, str]], meaning: type[BackstayError]
) -> None:
    body = status_body("Invalid", "because", causes=causes)
    assert type(from_response(422, body, {}, "patch Backup shop/x")) is meaning


@pytest.mark.parametrize(
    ("message", "causes", "meaning"),
    [
        ('secrets "p" is forbidden: User "s" cannot get resource "secrets"', [], Refused),
        ('pods "v" is forbidden: violates PodSecurity "restricted:latest"', [], Refused),
        ('admission webhook "w" denied the request: no', [], Refused),
        ('volumesnapshots "x" is forbidden: exceeded quota: few, requested: 1', [], Transient),
        (
            "unable to create new content in namespace shop because it is being terminated",
            [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}],
            Transient,
        ),
    ],
)
def test_what_passes_without_a_change_of_rules_is_no_refusal(
    message: str, causes: list[dict[str, str]], meaning: type[BackstayError]
) -> None:
    body = status_body("Forbidden", message, causes=causes)
    assert type(from_response(403, body, {}, "create Pod shop/v")) is meaning


def test_invalid_input_keeps_the_reason_for_the_condition() -> None:
    error = from_response(422, status_body("Invalid", "spec.x: too long"), {}, "create Job a/b")
    assert isinstance(error, UserError)
    assert error.reason == "Invalid"


@pytest.mark.parametrize(
    ("headers", "details", "expected"),
    [
        ({"Retry-After": "7"}, {}, timedelta(seconds=7)),
        ({}, {"retryAfterSeconds": 3}, timedelta(seconds=3)),
        ({"Retry-After": "-1"}, {}, timedelta(0)),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, {}, None),
        ({"Retry-After": "9" * 30}, {}, None),
        ({}, {}, None),
    ],
)
def test_the_server_says_how_long_to_wait(
    headers: dict[str, str], details: dict[str, object], expected: timedelta | None
) -> None:
    body = status_body("TooManyRequests", "slow down", **details)
    error = from_response(429, body, headers, "list Pod *")
    assert isinstance(error, Transient)
    assert error.retry_after == expected


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>bad gateway</html>", "<html>bad gateway</html>"),
        (b"", "no explanation"),
        (b"[1]", "[1]"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"x" * 1000, "x" * 200),
    ],
)
def test_answers_of_a_proxy_in_between_are_quoted_in_short(body: bytes, words: str) -> None:
    error = from_response(502, body, {}, "get Pod a/b")
    assert error.message == f"get Pod a/b: {words} (HTTP 502)"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "did not answer in time"),
        (aiohttp.ServerTimeoutError(), "did not answer in time"),
        (ConnectionRefusedError("refused"), "no connection to the API server: refused"),
        (aiohttp.ServerDisconnectedError(), "no connection to the API server: Server disconnected"),
        (OSError(), "no connection to the API server: OSError"),
    ],
)
def test_no_answer_is_transient_and_says_why(error: Exception, words: str) -> None:
    meaning = from_transport(error, "get Pod a/b")
    assert meaning.message.startswith("get Pod a/b: ")
    assert words in meaning.message
