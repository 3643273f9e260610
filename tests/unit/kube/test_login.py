"""How credentials are found."""

from __future__ import annotations

from pathlib import Path

import pytest
from kubernetes.aio.config import incluster_config
from tests.support.apiserver import make_certificates
from tests.unit.kube.conftest import write_kubeconfig

from backstay.domain.errors import UserError
from backstay.kube import login as module
from backstay.kube.login import login


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def service_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Be in a pod with a service account; its CA is a real one."""
    ca = make_certificates(tmp_path / "pki") / "ca.crt"
    token = tmp_path / "token"
    token.write_text("first")
    monkeypatch.setattr(module, "SERVICE_ACCOUNT", token)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(ca))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")


async def test_a_kubeconfig_is_read(tmp_path: Path) -> None:
    found = await login(write_kubeconfig(tmp_path / "config", "http://127.0.0.1:1/"))
    assert found.host == "http://127.0.0.1:1"
    assert await found.headers() == {"authorization": "Bearer of-the-test"}


async def test_the_environment_names_the_kubeconfig(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_kubeconfig(tmp_path / "elsewhere", "http://127.0.0.1:2")
    monkeypatch.setenv("KUBECONFIG", str(path))
    assert (await login()).host == "http://127.0.0.1:2"


@pytest.mark.usefixtures("service_account")
async def test_a_pod_uses_its_service_account() -> None:
    found = await login()
    assert found.host == "https://127.0.0.1:6443"
    assert await found.headers() == {"authorization": "bearer first"}
    assert found.tls.check_hostname


@pytest.mark.usefixtures("service_account")
async def test_a_kubeconfig_named_on_purpose_goes_before_the_service_account(
    tmp_path: Path,
) -> None:
    found = await login(write_kubeconfig(tmp_path / "config", "http://127.0.0.1:3"))
    assert found.host == "http://127.0.0.1:3"


@pytest.mark.parametrize("text", [None, "", "[1, 2]", "{", "clusters: 7", "current-context: x"])
async def test_what_cannot_be_used_is_named(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "broken"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=r"broken.*set KUBECONFIG to a readable file") as caught:
        await login(path)
    assert caught.value.reason == "NoCredentials"


async def test_no_credentials_at_all_says_where_they_were_looked_for() -> None:
    with pytest.raises(UserError, match=r"~/\.kube/config"):
        await login()


async def test_a_context_that_is_not_in_the_file_is_refused(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "config", "http://127.0.0.1:1")
    with pytest.raises(UserError, match="production"):
        await login(path, context="production")
