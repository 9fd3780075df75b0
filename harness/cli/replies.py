"""The command ``replies``: what is kept of models' replies across runs."""

from __future__ import annotations

from typing import Annotated

import typer


def replies(
    clear: Annotated[bool, typer.Option("--clear", help="Delete them all.")] = False,
) -> None:
    """Say how many replies ``run --replies`` has kept and what they take, or delete them."""
    from harness.llm.reply_cache import open_store

    store = open_store(0)
    if clear:
        store.clear()
    typer.echo(f"{store.path}: {store.count():,} replies, {store.bytes / 1e6:.1f} MB")
