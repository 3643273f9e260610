"""Every value that the reference names is accepted as it stands there, typed as YAML types it."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from tests.api.bad.common import GOOD, OFFICE, document
from tests.api.bad.rolling import HOST
from tests.support.apiserver import ROOT
from tests.support.kubectl import Kubectl

from backstay.api.policy import PolicySpec

SNAPSHOTS: Final[dict[str, Any]] = GOOD["BackupPolicy"] | {
    "schedule": {**GOOD["BackupPolicy"]["schedule"], "blackouts": [OFFICE]},
    "repository": {"name": "offsite", "volume": {}},
}
COPIES: Final[dict[str, Any]] = {
    "source": HOST,
    "rolling": {"destination": {"hostPath": "/backup"}, "keepFree": {}, "scrub": {}},
}
ROW: Final = re.compile(r"^\| `(spec\.[^`]+)` \| (.*) \|$", re.MULTILINE)
OFF: Final = re.compile(r"\b(\d\w*) (?:turns that|switches it) off")
SUCH_AS: Final = re.compile(r"such as ((?:\d\w*(?:, | or )?)+)(?=[.,;:]|$)")
TYPED: Final = re.compile(r"^(?:integer|string)[^|]* \| `([^`]+)` \|")
"""The default of a number or a text."""


def documented() -> set[tuple[str, str]]:
    """Each number and quantity that the reference names of a policy's field, and each default."""
    text = (ROOT / "docs/reference/crds.md").read_text()
    policy = text[text.index("### Spec of BackupPolicy") : text.index("### Status of BackupPolicy")]
    found = set()
    for field, rest in ROW.findall(policy):
        values = set(OFF.findall(rest)) | set(TYPED.findall(rest))
        for several in SUCH_AS.findall(rest):
            values |= set(re.findall(r"\d\w*", several))
        found |= {(field, value) for value in values}
    return found


def set_at(spec: dict[str, Any], field: str, value: Any) -> bool:
    """Set a field of a spec where all above it is there; return whether it was."""
    *above, last = field.removeprefix("spec.").replace("[]", ".0").split(".")
    node: Any = spec
    for part in above:
        if isinstance(node, list):
            node = node[int(part)]
        elif part in node:
            node = node[part]
        else:
            return False
    node[last] = value
    return True


def cases() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for field, text in sorted(documented()):
        for base in (SNAPSHOTS, COPIES):
            spec = copy.deepcopy(base)
            if set_at(spec, field, yaml.safe_load(text)):
                yield field, text, spec
                break


CASES: Final = list(cases())


@pytest.fixture(scope="module")
def answers(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Ask for all of them at once; return what is refused."""
    kubectl = Kubectl(kubeconfig, "documented")
    assert kubectl("create", "namespace", kubectl.namespace).ok
    folder = tmp_path_factory.mktemp("documented")
    for number, (_, _, spec) in enumerate(CASES):
        made = document("BackupPolicy", {}, name=f"case-{number}") | {"spec": spec}
        (folder / f"{number}.yaml").write_text(yaml.safe_dump(made))
    return kubectl("apply", "--dry-run=server", "-f", str(folder)).err


def test_the_reference_names_values_of_many_fields() -> None:
    tried = {(field, text) for field, text, _ in CASES}

    assert ("spec.dumps[].minFree", "0") in tried
    assert ("spec.rolling.scrub.days", "0") in tried
    assert ("spec.rolling.bandwidth", "20Mi") in tried
    assert ("spec.schedule.jitter", "1h30m") in tried
    assert len({field for field, _ in tried}) > 15


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda n: " ".join(CASES[n][:2]))
def test_a_documented_value_is_accepted_by_the_server_and_the_operator(
    answers: str, number: int
) -> None:
    assert f"/{number}.yaml" not in answers, answers
    PolicySpec.model_validate(CASES[number][2])
