"""Columns beside a bank: of each document its page and what is kept of its title, if asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from methods.parametric_qa.by_words import token_rows
from methods.parametric_qa.memory.pages import PAGES_FILE, Pages
from methods.parametric_qa.memory.titles import TITLES_FILE, Titles

if TYPE_CHECKING:
    from harness.data.corpus import Corpus
    from harness.llm.local import LocalModel
    from methods.parametric_qa.memory.bank import MemoryBank


def column_files(folder: Path) -> tuple[Path, ...]:
    """Where columns stand, written or not."""
    return folder / PAGES_FILE, folder / TITLES_FILE


def write_columns(
    llm: LocalModel, bank: MemoryBank, corpus: Corpus, folder: Path, *, pages: bool, links: bool
) -> None:
    """Write those that are asked for, of a bank of a corpus's documents."""
    if not (pages or links):
        return
    titles = [corpus.get(id_).title for id_ in bank.ids]
    if pages:
        Pages.of(titles).save(folder)
    if links:
        Titles.of(llm, titles, token_rows(bank)).save(folder)
