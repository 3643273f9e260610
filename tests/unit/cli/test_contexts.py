"""Which namespace a command looks at where none is given."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from backstay.domain.errors import UserError
from backstay.kube.contexts import default_namespace

CONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "plain",
    "clusters": [{"name": "local", "cluster": {"server": "https://127.0.0.1:6443"}}],
    "users": [{"name": "me", "user": {}}],
    "contexts": [
        {"name": "plain", "context": {"cluster": "local", "user": "me"}},
        {"name": "shop", "context": {"cluster": "local", "user": "me", "namespace": "shop"}},
    ],
}


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    return path


def test_it_is_the_contexts_else_default(kubeconfig: Path) -> None:
    assert default_namespace(kubeconfig) == "default"
    assert default_namespace(kubeconfig, "shop") == "shop"


def test_the_environments_kubeconfig_is_read_also_as_one_of_several(
    kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = {**CONFIG, "current-context": "shop"}
    kubeconfig.write_text(yaml.safe_dump(changed), encoding="utf-8")
    for value in (f"{kubeconfig}", f"/nowhere/config:{kubeconfig}"):
        monkeypatch.setenv("KUBECONFIG", value)
        assert default_namespace() == "shop"


def test_without_a_kubeconfig_it_is_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere/config")
    assert default_namespace() == "default"


def test_an_unknown_context_is_named(kubeconfig: Path) -> None:
    with pytest.raises(UserError, match="has no context 'wiki'"):
        default_namespace(kubeconfig, "wiki")


@pytest.mark.parametrize("text", ["a: [", "just text", "contexts: 3"])
def test_a_file_that_is_no_kubeconfig_is_named(kubeconfig: Path, text: str) -> None:
    kubeconfig.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=f"cannot read {kubeconfig}"):
        default_namespace(kubeconfig)
