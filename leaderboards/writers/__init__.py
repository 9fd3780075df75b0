"""Writers of a leaderboard, one a format: ``function(view: View) -> bytes``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from harness.errors import ConfigError, did_you_mean
from harness.files import atomic_file, writing
from leaderboards.view import View

WRITERS: dict[str, str] = {
    "markdown": "leaderboards.writers.markdown:to_markdown",
    "csv": "leaderboards.writers.csv:to_csv",
    "latex": "leaderboards.writers.latex:to_latex",
    "json": "leaderboards.writers.json:to_json",
    "parquet": "leaderboards.writers.parquet:to_parquet",
    "html": "leaderboards.page:to_html",
}
"""Format -> ``module:function``, imported when first used."""

TO_FILE = ("parquet", "html")
"""Formats that nobody reads on a terminal."""
FLAT = ("csv", "parquet")
"""Formats whose settings stand in a file beside."""
_SUFFIXES = {
    ".md": "markdown", ".txt": "markdown", ".csv": "csv", ".tex": "latex", ".json": "json",
    ".parquet": "parquet", ".html": "html", ".htm": "html",
}  # fmt: skip


def chosen_format(format: str | None, output: Path | None) -> str:
    """The format that is named, else the one of the file's name, else markdown.

    Raises ConfigError for one that there is not or that needs a file.
    """
    if format is None and output is not None:
        suffix = output.suffix.lower()
        if not suffix:
            return "markdown"
        if suffix not in _SUFFIXES:
            raise ConfigError(
                f"{output}: no format has the ending '{suffix}' (known: {', '.join(_SUFFIXES)}); "
                "choose one with --format"
            )
        return _SUFFIXES[suffix]
    chosen = format or "markdown"
    check_format(chosen)
    if chosen in TO_FILE and output is None:
        raise ConfigError(f"--format {chosen}: is nothing for a terminal; add --output FILE")
    return chosen


def check_format(format: str) -> None:
    """Raise ConfigError for a format that there is not."""
    if format not in WRITERS:
        raise ConfigError(f"no such format: {format!r}{did_you_mean(format, list(WRITERS))}")


def write(view: View, format: str) -> bytes:
    """The board in one format. Raises ConfigError for a format that there is not."""
    check_format(format)
    module, _, name = WRITERS[format].partition(":")
    writer: Callable[[View], bytes] = getattr(import_module(module), name)
    return writer(view)


def save(view: View, format: str, content: bytes, output: Path) -> list[Path]:
    """Write the content to a file, and the settings of a flat format beside it; their paths.

    Raises InputError if the system refuses.
    """
    files = {output: content}
    if format in FLAT:
        from leaderboards.flat import settings
        from leaderboards.writers.json import to_bytes

        files[output.with_suffix(".settings.json")] = to_bytes(settings(view))
        if view.published:
            from leaderboards.published.block import to_csv

            files[output.with_suffix(".published.csv")] = to_csv(view.published).encode()
    for path, data in files.items():
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            file.write(data)
    return list(files)
