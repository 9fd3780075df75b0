"""Full context: every passage of the pool that fits stands before the question, read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from harness.method import Method, MethodCard, MethodParams
from harness.prompts import Prompt
from harness.records import Passage, Prediction, Query, Question, StorageReport
from methods.full_context.chosen import FILE, Chosen, Order, Room

if TYPE_CHECKING:
    from harness.data.corpus import Corpus
    from harness.llm.keyvalues import KeyValues

PREFIX = "prefix.safetensors"


class FullContext(Method):
    """The pool as a prompt: what all questions share is read once, its keys and values are kept."""

    card = MethodCard(
        title="Full context",
        summary="The model reads all passages of the pool that fit, once, before every question.",
        source="none; what long-context baselines do, such as those of Cartridges "
        "(arXiv 2506.06266) and of many-shot in-context learning",
        deviations=(
            "For pools that the window holds: of a larger one the first passages are read, or a "
            "shuffled choice (-p order=shuffled), and the rest is left out, which the board tells.",
            "Train questions with their answers stand before the passages (-p shots), as in the "
            "prompts of the other methods; in a chat they stand after them.",
            "What questions share is read when the memory is written. Its keys and values are kept "
            "on disk and weigh as storage; a server keeps them, or not, by its own rules.",
            "Answers are those to the whole prompt, token for token in float32. At lower precision "
            "a prompt that is read in two parts may round otherwise.",
        ),
    )

    class Params(MethodParams):
        """Parameters of reading a pool."""

        budget: int | None = Field(
            None, ge=1, description="tokens of passages, at most; null: what the window leaves"
        )
        order: Order = Field("corpus", description="of the passages: the corpus's, or shuffled")
        room: int = Field(128, ge=1, description="tokens that are kept free for a question")
        max_tokens: int = Field(32, ge=1, description="longest answer, in tokens")

    params: Params
    _chosen: Chosen
    _bytes: dict[str, int]
    _prefix: KeyValues | None

    def write(self, corpus: Corpus, train: Sequence[Question], folder: Path) -> None:
        """Choose what fits, and read it if the model's keys and values can be kept.

        Raises ConfigError if not one passage fits.
        """
        chosen = self._choose(corpus)
        chosen.save(folder)
        if "key-value-prompts" in self.llm.model.capabilities:
            style = self.llm.model.prompt_style
            asked = [self._prompt(text, chosen.passages).render(style) for text in ("a", "b")]
            self.llm.model.read(*asked).save(folder / PREFIX)

    def load(self, folder: Path) -> None:
        """Open the passages, and what was read of them."""
        from harness.llm.keyvalues import KeyValues
        from harness.llm.local import LocalModel

        llm, path = self.llm.model, folder / PREFIX
        self._chosen = Chosen.load(folder)
        self._bytes = {"text": (folder / FILE).stat().st_size}
        self._prefix = None
        if isinstance(llm, LocalModel) and path.exists():
            self._prefix = KeyValues.load(path, llm.model, llm.name)
            self._bytes["keys and values"] = path.stat().st_size

    def storage(self) -> StorageReport:
        """The passages' texts and their keys and values; what was left out weighs nothing."""
        return StorageReport(self._bytes, len(self._chosen.passages), self._chosen.left_out)

    async def answer(self, query: Query) -> Prediction:
        """Read the question after the pool."""
        prompt = self._prompt(query.text, self._chosen.passages)
        reply = await self.llm.generate(
            prompt, max_tokens=self.params.max_tokens, one_line=True, prefix=self._prefix
        )
        return Prediction(answer=reply.first_line, read=self._read_ids())

    def _read_ids(self) -> list[str]:
        return [p.id for p in self._chosen.passages]

    def _choose(self, corpus: Corpus) -> Chosen:
        return self._room().choose(corpus, self.params.order, self.seed)

    def _room(self) -> Room:
        empty = self._prompt("", ())
        written = self.params.max_tokens + self.llm.model.thoughts_before(empty)
        return Room(self.llm.model, empty, self.params.room + written, self.params.budget)

    def _prompt(self, question: str, passages: tuple[Passage, ...]) -> Prompt:
        return replace(self.prompts.read(Query("", question), passages), keep_order=True)
