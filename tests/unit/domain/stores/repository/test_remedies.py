"""What a person is advised to do about a repository that cannot be used."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.repository_looks import ID, spec

from backstay.domain.stores.repository.reasons import Reason
from backstay.domain.stores.repository.remedies import remedy

OF_THE_REPOSITORY = list(Reason)[: list(Reason).index(Reason.DAMAGED)]


@pytest.mark.parametrize("reason", OF_THE_REPOSITORY)
def test_each_reason_of_a_repository_has_advice(reason: Reason) -> None:
    given = spec(customCA={"secretName": "tls"})

    assert remedy(reason, given, ID)


@pytest.mark.parametrize(
    ("reason", "values", "words"),
    [
        (Reason.WRONG_PASSWORD, {}, "the Secret is s3"),
        (Reason.ACCESS_DENIED, {}, "the Secret is s3"),
        (Reason.ACCESS_DENIED, {"claim": {"name": "nfs"}}, "set spec.mover.securityContext"),
        (Reason.NO_REPOSITORY, {"initialise": "Never"}, "set spec.initialise to IfMissing"),
        (
            Reason.NO_REPOSITORY,
            {"initialise": "Never", "access": "ReadOnly"},
            "none is made where spec.access is ReadOnly",
        ),
        (Reason.UNTRUSTED, {}, ""),
        (Reason.UNTRUSTED, {"customCA": {"secretName": "tls"}}, "its CA is ca.crt of Secret tls"),
        (
            Reason.SECRET_INCOMPLETE,
            {"customCA": {"configMapName": "tls", "key": "root"}},
            "the Secret is s3; its CA is root of ConfigMap tls",
        ),
        (Reason.VANISHED, {}, "bring repository 01234567 back; or, to begin with an empty one"),
    ],
)
def test_advice_names_the_objects_and_fields_of_this_repository(
    reason: Reason, values: dict[str, Any], words: str
) -> None:
    assert remedy(reason, spec(**values), ID).startswith(words)


def test_of_what_the_agent_does_not_know_nothing_is_said() -> None:
    assert remedy("Whatever", spec(), "") == ""
