"""Editor: what ROME and MEMIT share, from changed documents to facts, and from edits to answers."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from harness.files import read_json, write_json
from harness.llm.changes import Changes
from harness.llm.edit import LowRank
from harness.method import Method, MethodParams
from harness.records import Prediction, Query, Question, StorageReport
from methods.weight_edits.facts import Cue, Fact, facts_of
from methods.weight_edits.params import EditParams

if TYPE_CHECKING:
    from torch import Tensor

    from harness.data.corpus import Corpus
    from harness.data.corpus_changes import CorpusChanges
    from harness.llm.base import LanguageModel
    from harness.llm.local import LocalModel
    from harness.llm.requests import Capability

MOMENTS, EDITS, FACTS = "moments.safetensors", "edits.safetensors", "facts.json"
DEVIATIONS = (
    "Facts are found by rule in the old and the new text of a document that was updated, and are "
    "asked for by its own sentences and by questions made of them by rule; the authors are given "
    "subject, relation and object.",
    "The subject is the document's title, or the first name in a sentence that lacks it.",
    "Documents that are added or deleted change nothing: an edit gives a subject another value, "
    "and neither teaches a text nor takes one back.",
    "Second moments are counted over passages of the corpus (the authors take 100,000 samples of "
    "Wikipedia), and a hundredth of their mean diagonal is added to them.",
    "The random prefixes are beginnings of passages; the authors have the model write them.",
    "The key is the mean over all cues and prefixes, and the model's reply to '{subject} is a' is "
    "kept at its end, as the paper says; the authors' code looks at the subject.",
    "Layers are given by their depth, the defaults chosen for the default model on facts of train "
    "questions; the authors trace each model.",
)
_PREFIX_WORDS = 8


class Editor(Method):
    """Answer closed-book; when a document changes, edit what the weights say of it."""

    needs: ClassVar[frozenset[Capability]] = frozenset({"training", "weights"})

    class Params(EditParams, MethodParams):
        """Which weights are edited, how, and how questions are asked."""

        max_tokens: int = Field(32, ge=1, description="longest answer, in tokens")

    params: Params
    _folder: Path
    _told: dict[str, Any]
    _edits: Mapping[str, LowRank]

    def check_model(self, llm: LanguageModel) -> None:
        """Raise ConfigError for a model whose layers do not end with one down projection."""
        from methods.study.training import trainable

        self._names(trainable(llm))

    def write(self, corpus: Corpus, train: Sequence[Question], folder: Path) -> None:
        """Count the second moments of keys over passages; no weight is changed.

        Raises ConfigError for a model that cannot be edited.
        """
        from methods.parametric_qa.shared.parts import save_tensors
        from methods.study.training import trainable
        from methods.weight_edits.moments import moments, sampled

        llm = trainable(self.llm.model)
        names = self._names(llm)
        texts = sampled(llm, corpus, self.params.moment_tokens)
        save_tensors(folder / MOMENTS, moments(llm, names, texts, self.scratch))
        write_json(
            folder / FACTS,
            {
                "documents": len(corpus),
                "moment_tokens": sum(map(len, texts)),
                "layers": names,
                "prefixes": self._beginnings(corpus),
                "facts": [],
                "without_facts": [],
            },
        )

    def revise(self, changes: CorpusChanges, train: Sequence[Question], folder: Path) -> None:
        """Edit the facts of documents that were updated; added and deleted ones change nothing."""
        from methods.study.training import trainable

        told = read_json(folder / FACTS)
        llm, again = trainable(self.llm.model), {new.id for new in changes.updated}
        kept = [n for n, row in enumerate(told["facts"]) if row["document"] not in again]
        new = self._facts(llm, changes)
        earlier = [as_fact(told["facts"][n]) for n in kept]
        if new:
            self._edit(llm, folder, earlier, kept, new)
        without = (set(told["without_facts"]) | again) - {fact.document for fact in new}
        now = {
            "documents": len(changes.corpus),
            "facts": [asdict(fact) for fact in (*earlier, *new)],
            "without_facts": sorted(without & set(changes.corpus.ids)),
        }
        write_json(folder / FACTS, told | now)

    def _facts(self, llm: LocalModel, changes: CorpusChanges) -> list[Fact]:
        """What updated documents say anew and what can be found among a prompt's tokens."""
        from methods.weight_edits.inside import sequences

        found = []
        for new in changes.updated:
            old = changes.before.get(new.id)
            facts = facts_of(old, new, self.params.cues, self.seed)[: self.params.facts]
            found += [fact for fact in facts if sequences(llm, fact, self.prefixes)]
        return found

    @property
    def revision_differs(self) -> str:
        """A memory that is written anew has no edits."""
        return (
            "A memory that is written anew holds no edits, so that its model answers as it was "
            "trained; and second moments are those of the first corpus."
        )

    def load(self, folder: Path) -> None:
        """Read the edits."""
        self._folder, self._told = folder, read_json(folder / FACTS)
        self._edits = edits_in(folder)

    @property
    def changes(self) -> Changes:
        """The edits of all facts."""
        return Changes(edits={f"{name}.weight": edit for name, edit in self._edits.items()})

    async def answer(self, query: Query) -> Prediction:
        """Ask closed-book, as no-retrieval does."""
        prompt = self.prompts.closed_book(query)
        reply = await self.llm.generate(prompt, max_tokens=self.params.max_tokens, one_line=True)
        return Prediction(reply.first_line)

    @property
    def prefixes(self) -> list[str]:
        """Texts that cues are also read after."""
        return list(self._told["prefixes"])

    def storage(self) -> StorageReport:
        """The edits; the second moments, which are as large for any corpus."""
        sizes = {path.name: path.stat().st_size for path in self._folder.iterdir()}
        shared = sizes.get(MOMENTS, 0)
        parts = {"adapters": sum(sizes.values()) - shared, "shared parameters": shared}
        without = len(self._told["without_facts"])
        return StorageReport(parts, self._told["documents"] - without, without)

    @abstractmethod
    def _edit(
        self,
        llm: LocalModel,
        folder: Path,
        earlier: Sequence[Fact],
        kept: Sequence[int],
        new: Sequence[Fact],
    ) -> None:
        """Edit new facts, beside ``earlier`` ones: those of the places ``kept`` in the memory."""

    @abstractmethod
    def _names(self, llm: LocalModel) -> list[str]:
        """The down projections that are edited."""

    def _beginnings(self, corpus: Corpus) -> list[str]:
        source = random.Random(f"{self.seed} prefixes")  # noqa: S311
        chosen = source.sample(corpus.ids, min(self.params.prefixes, len(corpus)))
        texts = [corpus.get(id_).text.split()[:_PREFIX_WORDS] for id_ in chosen]
        return [f"{' '.join(words).rstrip('.,;:')}." for words in texts]


def as_fact(row: Mapping[str, Any]) -> Fact:
    """A fact as JSON holds it."""
    return Fact(row["document"], row["target"], tuple(Cue(**cue) for cue in row["cues"]))


def parts_of(edits: Mapping[str, LowRank]) -> dict[str, Tensor]:
    """Edits as tensors by name."""
    sides = ("left", "right")
    return {
        f"{name} {side}": getattr(edit, side).contiguous() for name, edit in edits.items()
        for side in sides
    }  # fmt: skip


def edits_in(folder: Path) -> dict[str, LowRank]:
    """The edits of a memory, by the down projection; none before a fact was edited."""
    if not (folder / EDITS).exists():
        return {}
    parts = read(folder / EDITS)
    names: Iterable[str] = dict.fromkeys(part.rpartition(" ")[0] for part in parts)
    return {name: LowRank(parts[f"{name} left"], parts[f"{name} right"]) for name in names}


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name."""
    from safetensors.torch import load_file

    found: dict[str, Tensor] = load_file(path)
    return found
