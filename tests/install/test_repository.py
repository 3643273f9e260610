"""What must not be in the tree."""

from __future__ import annotations

from tests.install.rendering import ROOT


def test_the_project_folder_does_not_shadow_the_module_operator() -> None:
    assert (ROOT / "operator" / "src").is_dir()
    assert not (ROOT / "operator" / "__init__.py").exists()
