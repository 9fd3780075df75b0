"""Cartridge: a trained key/value prefix that stands for a whole pool (Eyuboglu et al., 2025)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from harness.errors import ConfigError
from harness.files import write_json
from harness.method import Method, MethodCard, MethodParams, later
from harness.prompts import Prompt
from harness.records import Passage, Prediction, Query, Question, StorageReport
from methods.cartridge.study import Learnt, ask
from methods.other_pool import DEFAULT_OTHER, OTHER, OtherPool, open_pool
from methods.study.made import LONGEST_QUESTION, questions_about
from methods.study.params import PRECISION, Precision
from methods.study.questions import Asked, questions_of

if TYPE_CHECKING:
    from harness.data.corpus import Corpus
    from harness.llm.keyvalues import KeyValues
    from harness.llm.local import LocalModel
    from harness.llm.requests import Capability

FILE, STUDY = "cartridge.safetensors", "study.json"


class Cartridge(Method):
    """Train a prefix so that the model answers after it as it answers when it reads the text."""

    card = MethodCard(
        title="Cartridge",
        summary="A key/value prefix, trained on the pool, stands before every question.",
        paper="Eyuboglu et al., Cartridges: lightweight and general-purpose long context "
        "representations via self-study, 2025 (arXiv 2506.06266)",
        source="HazyResearch/cartridges, whose code is not followed",
        version=3,
        deviations=(
            "Self-study is made by rule: questions whose answers are names, dates and numbers of "
            "the passages, and the passages' own text.",
            "With -p study=model the model asks about each passage and answers as it reads it, as "
            "in the paper: here by eight fixed requests, one question and one short answer each; "
            "the paper has five kinds of openings, longer conversations and many of them.",
            "The teacher reads the instruction, the demonstrations and one passage; the paper's, "
            "chunks of up to 4,096 tokens.",
            "The student is asked the question alone: instruction and demonstrations (-p shots) "
            "are learnt with the text.",
            "It begins as keys and values of the first tokens of full-context's prompt, so of the "
            "instruction and the demonstrations, then of passages; the paper's, of the corpus.",
            "The loss is over the teacher's 20 likeliest tokens at each place of a reply; with -p "
            "learnt=answers the answers and texts themselves are learnt, without a teacher.",
            "Only the last third of the layers is trained (-p depth=1: all, as the paper's).",
            "No run at full size was made.",
        ),
    )
    needs: ClassVar[frozenset[Capability]] = frozenset({"key-value-prompts", "training"})

    class Params(MethodParams):
        """Parameters of training and reading."""

        positions: int = Field(128, ge=2, le=65_536, description="length of the prefix")
        study: Literal["rules", "model"] = later(
            "rules",
            description="what makes questions and answers: rules, or the model that reads a "
            "passage; its text is studied in either case",
        )
        questions: int = Field(
            48, ge=0, le=256, description="questions made of a passage, at most (model: 8 at most)"
        )
        temperature: float = later(
            0.7, ge=0, le=2, description="of the questions that the model makes"
        )
        steps: int = Field(240, ge=1, description="training steps")
        batch: int = Field(16, ge=1, description="questions or texts of a step")
        learning_rate: float = Field(0.05, gt=0, description="highest of the training")
        precision: Precision = Field("float32", description=PRECISION)
        learnt: Learnt = Field(
            "teacher",
            description="teacher: what the model expects when it reads the passage; answers: the "
            "answers and texts themselves, without a teacher; both: the sum of both losses",
        )
        depth: float = Field(
            0.34, gt=0, le=1, description="share of the model's layers, the last ones, trained"
        )
        max_tokens: int = Field(32, ge=1, description="longest answer, in tokens")

    params: Params
    _prefix: KeyValues
    _bytes: int
    _documents: int

    @property
    def model(self) -> LocalModel:
        """The frozen model whose keys and values are trained."""
        from harness.llm.local import LocalModel

        found = self.llm.model
        if not isinstance(found, LocalModel):
            raise ConfigError(f"model '{found.name}' cannot be trained with; take a local one")
        return found

    async def write(self, corpus: Corpus, train: Sequence[Question], folder: Path) -> None:
        """Have the model ask and answer, if it is to; then train the prefix of all passages.

        Raises ConfigError if they have fewer tokens than it has positions.
        """
        from methods.cartridge import training

        passages, params = self._passages(corpus), self.params
        asked = await self.each(passages, self._asked, "questions about passages")
        names = [name for name in training.Recipe.__annotations__ if name != "seed"]
        recipe = training.Recipe(**{n: getattr(params, n) for n in names}, seed=self.seed)
        with TemporaryDirectory() as temporary:
            scratch = self.scratch or Path(temporary)
            rows = training.lessons(
                self.model, self.prompts, passages, asked, params.learnt, scratch
            )
            start = self._start(passages)
            trained, losses = training.train(self.model, start, rows, recipe, scratch)
        trained.save(folder / FILE)
        counts = {
            "questions": sum(map(len, asked)),
            "made_tokens": self._tokens(
                f" {x.question} {x.answer}" for each in asked for x in each
            ),
            "source_tokens": self._tokens(passage.contents for passage in passages),
            "lessons": len(rows),
            "tokens": sum(len(lesson.row.target) for lesson in rows),
        }
        write_json(folder / STUDY, {"documents": len(passages), **counts, "losses": losses})

    def load(self, folder: Path) -> None:
        """Open the prefix. Raises ConfigError for that of another model."""
        from harness.files import read_json
        from harness.llm.keyvalues import KeyValues

        path = folder / FILE
        self._prefix = KeyValues.load(path, self.model.model, self.model.name)
        self._bytes = path.stat().st_size
        self._documents = read_json(folder / STUDY)["documents"]

    def storage(self) -> StorageReport:
        """The prefix as it lies on disk."""
        return StorageReport({"keys and values": self._bytes}, self._documents)

    async def answer(self, query: Query) -> Prediction:
        """Ask after the prefix."""
        reply = await self.llm.generate(
            ask(query.text), max_tokens=self.params.max_tokens, one_line=True, prefix=self._prefix
        )
        return Prediction(answer=reply.first_line)

    def _passages(self, corpus: Corpus) -> list[Passage]:
        return list(corpus)

    async def _asked(self, passage: Passage) -> list[Asked]:
        """Questions about a passage, each with its answer."""
        if self.params.study == "rules":
            return questions_of(passage, self.params.questions, self.seed)
        pairs = await asyncio.gather(
            *(
                self._conversation(passage, p)
                for p in questions_about(passage, self.params.questions)
            )
        )
        known = {each.question: each for each in pairs if each.question and each.answer}
        return list(known.values())

    async def _conversation(self, passage: Passage, prompt: Prompt) -> Asked:
        """A question that the model makes, and what it answers when it reads the passage."""
        said = await self.llm.generate(
            prompt, max_tokens=LONGEST_QUESTION, one_line=True, temperature=self.params.temperature
        )
        if not said.first_line:
            return Asked("", "")
        reply = await self.llm.generate(
            self.prompts.read(Query("", said.first_line), [passage]),
            max_tokens=self.params.max_tokens, one_line=True,
        )  # fmt: skip
        return Asked(said.first_line, reply.first_line)

    def _tokens(self, texts: Iterable[str]) -> int:
        return sum(map(self.model.count_tokens, texts))

    def _start(self, passages: Sequence[Passage]) -> KeyValues:
        """Keys and values of the first tokens of what full-context reads."""
        from harness.llm.keyvalues import KeyValues
        from harness.llm.reading import read_tokens

        llm, wanted = self.model, self.params.positions
        shown, ids = 1, list[int]()
        while len(ids) <= wanted:
            prompt = self.prompts.read(Query("", ""), list(passages[:shown]))
            ids = llm.encode(replace(prompt, keep_order=True).render(llm.prompt_style))
            if shown >= len(passages):
                break
            shown *= 2
        if len(ids) < wanted:
            raise ConfigError(
                f"positions = {wanted}: the pool's whole prompt has {len(ids)} tokens; lower it"
            )
        read = read_tokens(llm.runtime, ids[:wanted], "", None)
        return KeyValues(read.layers, read.model)


class CartridgeOther(OtherPool, Cartridge):
    """A cartridge as large of another pool: must not beat no-retrieval."""

    card = MethodCard(
        title="Cartridge of another pool",
        summary="A prefix as large, trained on as many passages of another pool; a floor.",
        source="a control of cartridge",
        version=3,
        deviations=(
            "The other pool's first passages are taken, as many as the pool has.",
            "Another task's pool may hold an answer by chance; format is learnt from any.",
        ),
    )

    class Params(Cartridge.Params):
        """Those of cartridge, and what is learnt in place of the pool."""

        passages: str = Field(DEFAULT_OTHER, description=OTHER)

    params: Params

    def _passages(self, corpus: Corpus) -> list[Passage]:
        other = open_pool(self.params.passages)
        return [other[place] for place in range(min(len(corpus), len(other)))]
