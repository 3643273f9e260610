"""The committed CRDs and their reference: as the models say, described, valid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from backstay.api import crdgen, reference
from backstay.api.kinds import KINDS, Kind
from backstay.api.structural import Schema

ROOT = Path(__file__).parents[3]
KIND_IDS = [kind.meta.kind for kind in KINDS]


def walk(node: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in node:
            yield from walk(node[key], f"{path}[]")


def committed() -> dict[str, Any]:
    return {
        path.name: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").iterdir())
    }


def test_the_committed_crds_are_what_the_models_say() -> None:
    found = {path.name: path.read_text() for path in (ROOT / "crds").glob("*.yaml")}
    assert found == crdgen.files(), "run make crds"


def test_the_committed_reference_is_what_the_models_say() -> None:
    found = (ROOT / "docs/reference/crds.md").read_text()
    assert found == reference.reference(), "run make crds"


@pytest.mark.parametrize("kind", KINDS, ids=KIND_IDS)
def test_yaml_says_the_same_as_the_crd(kind: Kind) -> None:
    crd = crdgen.crd(kind)
    assert yaml.safe_load(crdgen.to_yaml(crd)) == crd


@pytest.mark.parametrize("name", [f"{kind.meta.plural}.yaml" for kind in KINDS])
def test_kubernetes_knows_every_key_of_a_crd(name: str) -> None:
    kubernetes_validate.validate(committed()[name], "1.37", strict=True)


@pytest.mark.parametrize("kind", KINDS, ids=KIND_IDS)
def test_every_field_is_described_in_a_sentence(kind: Kind) -> None:
    fields = [
        (path, node)
        for path, node in walk(crdgen.root(kind), kind.meta.kind)
        if not path.endswith(("[]", ".metadata"))
    ]
    assert len(fields) > 20
    for path, node in fields:
        assert node.get("description", "").endswith("."), f"{path} needs a description"


@pytest.mark.parametrize("kind", KINDS, ids=KIND_IDS)
def test_every_field_is_in_the_reference(kind: Kind) -> None:
    text = reference.reference()
    for path, _ in walk(crdgen.root(kind), ""):
        if path.startswith((".spec.", ".status.")) and not path.endswith("[]"):
            assert f"`{path.removeprefix('.')}`" in text, path


@pytest.mark.parametrize("kind", KINDS, ids=KIND_IDS)
def test_columns_point_at_fields_that_exist(kind: Kind) -> None:
    paths = {path for path, _ in walk(crdgen.root(kind), "")}
    selectors = [
        *(column.path for column in kind.meta.columns),
        *kind.meta.selectable_fields,
    ]
    for selector in selectors:
        plain = selector.replace('[?(@.type=="Ready")]', "[]").replace("[*]", "[]")
        assert plain in paths | {".metadata.creationTimestamp"}, selector


def test_the_command_writes_the_files_and_check_names_one_that_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert crdgen.main([str(tmp_path / "crds")]) == 0
    assert crdgen.main(["--check", str(tmp_path / "crds")]) == 0
    stale = tmp_path / "crds/backups.yaml"
    stale.write_text(stale.read_text() + "# by hand\n")

    assert crdgen.main(["--check", str(tmp_path / "crds")]) == 1

    assert capsys.readouterr().err == f"not as the models say (make crds): {stale}\n"
    assert stale.read_text().endswith("# by hand\n")


def test_the_command_writes_the_reference(tmp_path: Path) -> None:
    assert reference.main([str(tmp_path / "reference/crds.md")]) == 0
    assert reference.main(["--check", str(tmp_path / "reference/crds.md")]) == 0


def test_check_of_the_reference_names_the_file_that_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reference.main(["--check", str(tmp_path / "none.md")]) == 1
    assert "none.md" in capsys.readouterr().err
