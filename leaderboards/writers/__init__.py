"""Writers of a leaderboard, one a format: ``function(view: View) -> bytes``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from harness.errors import ConfigError, did_you_mean
from leaderboards.view import View

WRITERS: dict[str, str] = {
    "markdown": "leaderboards.writers.markdown:to_markdown",
    "csv": "leaderboards.writers.csv:to_csv",
    "json": "leaderboards.writers.json:to_json",
    "html": "leaderboards.page:to_html",
}
"""Format -> ``module:function``, imported when first used."""


def write(view: View, format: str) -> bytes:
    """The board in one format. Raises ConfigError for a format that there is not."""
    if format not in WRITERS:
        raise ConfigError(f"no such format: {format!r}{did_you_mean(format, list(WRITERS))}")
    module, _, name = WRITERS[format].partition(":")
    writer: Callable[[View], bytes] = getattr(import_module(module), name)
    return writer(view)
