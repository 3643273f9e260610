"""Both ways to install, rendered once."""

from __future__ import annotations

import pytest
from tests.install.rendering import Object, Tools, find_tools, helm_template, kustomize


@pytest.fixture(scope="session")
def tools() -> Tools:
    return find_tools()


@pytest.fixture(scope="session")
def chart(tools: Tools) -> list[Object]:
    return helm_template(tools, {})


@pytest.fixture(scope="session")
def base(tools: Tools) -> list[Object]:
    return kustomize(tools)


@pytest.fixture(params=["chart", "base"])
def installed(request: pytest.FixtureRequest) -> list[Object]:
    """The objects of one way to install, then of the other."""
    objects: list[Object] = request.getfixturevalue(request.param)
    return objects
