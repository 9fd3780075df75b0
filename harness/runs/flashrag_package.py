"""FlashRAG as installed, told from metadata alone: another package has taken its name on PyPI."""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from harness.errors import ConfigError

EXTRA = "pip install 'lm-memory-harness[flashrag]'"
_DISTRIBUTION = "flashrag-dev"
_REPAIR = f"pip uninstall flashrag {_DISTRIBUTION}, then {EXTRA}"


def flashrag_version() -> str | None:
    """Version of the real FlashRAG, None if there is none. Runs no code of any package.

    Raises ConfigError where ``import flashrag`` would bring something else: the package that is
    called ``flashrag`` on PyPI, or a file of that name that is found first.
    """
    if squat := _installed("flashrag"):
        raise ConfigError(
            f"the package 'flashrag' {squat} is NOT FlashRAG, only its name: FlashRAG is "
            f"{_DISTRIBUTION}; {_REPAIR}"
        )
    version = _installed(_DISTRIBUTION)
    if version is not None:
        _check_place(version)
    return version


def require_flashrag() -> str:
    """Version of the real FlashRAG. Raises ConfigError, naming the fix, unless it can be run."""
    version = flashrag_version()
    missing = [
        name
        for name, there in (("FlashRAG", version), ("greenlet", _installed("greenlet")))
        if there is None
    ]
    if version is None or missing:
        raise ConfigError(f"{' and '.join(missing)} not installed; {EXTRA}")
    return version


def _check_place(version: str) -> None:
    """Whether what would be imported looks like FlashRAG: its files, none of which is run."""
    spec = find_spec("flashrag")
    places = [] if spec is None else [Path(each) for each in spec.submodule_search_locations or ()]
    if not any((place / "pipeline" / "pipeline.py").is_file() for place in places):
        found = None if spec is None else spec.origin or places
        raise ConfigError(
            f"{_DISTRIBUTION} {version} is installed, but 'import flashrag' would bring {found}, "
            f"which is not FlashRAG; rename it if it is yours, else {_REPAIR}"
        )


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
