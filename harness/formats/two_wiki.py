"""2WikiMultiHopQA's questions, each with its paragraphs.

Source: Alab-NII/2wikimultihop, README.md, "Dataset Contents": HotpotQA's shape, with ``evidences``
[[subject, relation, object]], ``entity_ids`` and, in the release with ids, ``evidences_id`` and
``answer_id``. The hub's copies (xanhho/2WikiMultihopQA) keep ``context``, ``supporting_facts`` and
``evidences`` as JSON in a string. The other names of an answer stand in ``id_aliases.json`` (JSON
Lines of ``Q_id``, ``aliases``, ``demonyms``), which 2wikimultihop_evaluate_v1.1.py accepts too.
Sentences are stripped of the spaces between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from harness.formats.base import Item
from harness.formats.fields import Fields, rows_of
from harness.formats.hotpotqa import HotpotQA
from harness.formats.parts import PartOptions
from harness.formats.sources import find

ALIASES = "id_aliases.json"


class TwoWikiOptions(PartOptions):
    """Options of 2WikiMultiHopQA."""

    aliases: Path | None = Field(
        None, description=f"the file of answers' other names; {ALIASES} beside the questions"
    )


class TwoWikiMultiHopQA(HotpotQA):
    """Questions over paragraphs of their own; the corpus is the paragraphs of all of them."""

    summary = "2WikiMultiHopQA, as published (with or without ids) or in the hub's columns"
    source = f"{HotpotQA.source}; {ALIASES} beside them is read"
    # The joint scores of its script are of evidences too, which no method here gives.
    scoring: ClassVar[Mapping[str, Any]] = {
        "closed_answers": True,
        "metrics": ["support_em", "support_f1"],
    }
    ids = "2wiki"
    between = " "
    kept = ("type", "entity_ids", "evidences", "evidences_id", "answer_id")

    Options = TwoWikiOptions
    options: TwoWikiOptions
    _aliases: Mapping[str, tuple[str, ...]] = {}

    def files(self, source: Path) -> list[Path]:
        """The file of other names, then those of questions and of train."""
        aliases = self._aliases_of(source)
        return ([aliases] if aliases else []) + super().files(source)

    def read(self, source: Path) -> Iterator[Item]:
        """The paragraphs of each question, and it; other names of answers are read before."""
        if aliases := self._aliases_of(source):
            self._aliases = {
                row.identifier("Q_id"): (*row.texts("aliases"), *row.texts("demonyms"))
                for row in rows_of(aliases)
            }
        yield from super().read(source)

    def _aliases_of(self, source: Path) -> Path | None:
        return self.options.aliases or find(source if source.is_dir() else source.parent, ALIASES)

    def answers(self, row: Fields) -> tuple[str, ...]:
        """The answer and its other names; none for a question without an answer."""
        answers = row.texts("answer")
        others = self._aliases.get(str(row.get("answer_id")), ()) if answers else ()
        return tuple(dict.fromkeys([*answers, *others]))
