"""The Method contract: a way of giving the model a memory, and what the harness lends it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from harness.data.corpus_changes import Revisable
from harness.errors import ConfigError
from harness.llm.changes import NO_CHANGES
from harness.prompts import Example, QAPrompts
from harness.records import Prediction, Query, Question, StorageReport
from harness.retrieval.languages import TermParams

if TYPE_CHECKING:
    from harness.clients import LLMClient, RetrieverClient
    from harness.data.card import TaskCard
    from harness.data.corpus import Corpus
    from harness.data.trained_on import TrainedOn
    from harness.llm.base import LanguageModel
    from harness.llm.changes import Changes
    from harness.llm.model_config import ModelConfig
    from harness.llm.requests import Capability
    from harness.writing.under_way import UnderWay

Item = TypeVar("Item")
Made = TypeVar("Made")

MOST_SHOTS = 64


@dataclass(frozen=True, slots=True)
class MethodCard:
    """What a reader of a board needs to know about a method."""

    title: str
    summary: str
    paper: str = ""
    source: str = ""
    version: int = 1
    """Raised whenever predictions may change; part of a run's identity."""
    oracle: bool = False
    """Uses gold information; marked on every board."""
    deviations: tuple[str, ...] = ()
    """Where this implementation departs from the paper, one sentence each."""


def later(default: Any, **field: Any) -> Any:
    """A parameter that a method gained after runs were made with it, as a pydantic Field.

    At its default it changes nothing, so it is left out of what makes a run's id.
    """
    return Field(default, exclude_if=lambda value: value == default, **field)


class MethodParams(BaseModel):
    """Base of every method's parameters: frozen, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    shots: int = Field(4, ge=0, le=MOST_SHOTS, description="demonstrations from the train split")


@dataclass(frozen=True, slots=True)
class Lent:
    """All that a method may call or look at during one run; ``Engine.lend`` makes it."""

    llm: LLMClient
    retriever: RetrieverClient
    prompts: QAPrompts
    seed: int = 0
    gold: Mapping[str, Question] = field(default_factory=dict)
    """The evaluated questions by id, for methods whose card says ``oracle``; empty for others."""
    task: TaskCard | None = None
    """The task's card, for methods that read it (``reads_task``); None for others."""
    scratch: Path | None = None
    """During ``write``: a folder that outlives an interruption, removed once all is written."""
    under_way: UnderWay | None = None
    """During ``write``: what ``each`` works with."""


class Method(Revisable, ABC):
    """A write phase over the corpus, a read phase per query, a storage account.

    Subclasses write ``answer`` for one query in plain ``async`` code; the engine runs many at once
    and batches what they await. The constructor only stores parameters; before any other call the
    harness lends the model, the retriever, prompts and seed (``open``). A method with a memory of
    its own has ``write``, ``load`` and ``storage``, all three; it may add what Revisable has.
    """

    card: ClassVar[MethodCard]
    needs: ClassVar[frozenset[Capability]] = frozenset()
    """What the model must offer, whatever the parameters."""
    needs_tokens: ClassVar[tuple[str, ...]] = ()
    """Tokens that the model must have been trained with."""
    needs_training_for: ClassVar[str | None] = None
    """The method that the model must have been fine-tuned for (``trained_for`` in its entry)."""
    prompted_variant: ClassVar[str | None] = None
    """The method to use with a model that lacks what this one needs."""

    variant_param: ClassVar[str | None] = None
    """The parameter that ``NAME:VALUE`` in place of the method's name sets."""
    reads_gold: ClassVar[bool] = False
    """Whether it reads the gold passages of what it is asked: a task that names none is refused."""
    reads_task: ClassVar[bool] = False
    """Whether it is told the task's name and hops; the hops then are part of a run's identity."""
    runs: ClassVar[tuple[type[Method], ...]] = ()
    """Methods that this one runs inside itself."""
    only_answers: ClassVar[frozenset[str]] = frozenset()
    """Parameters that ``write`` is not shown: runs that differ in them share a memory."""
    writes_as: ClassVar[str | None] = None
    """The method, by name, whose memory a control reads, of the same version and parameters."""

    class Params(MethodParams):
        """Parameters of the method."""

    lent: Lent

    def __init__(self, params: MethodParams | None = None) -> None:
        self.params = params if params is not None else self.Params()

    def open(self, lent: Lent) -> None:
        """Take what a run lends, in place of what an earlier one did."""
        self.lent = lent

    @property
    def llm(self) -> LLMClient:
        """The language model."""
        return self.lent.llm

    @property
    def retriever(self) -> RetrieverClient:
        """The retriever over the run's corpus, named by ``retriever_name``."""
        return self.lent.retriever

    @property
    def prompts(self) -> QAPrompts:
        """Question-answering prompts with the run's demonstrations."""
        return self.lent.prompts

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.lent.seed

    @property
    def gold(self) -> Mapping[str, Question]:
        """The evaluated questions by id, for methods whose card says ``oracle``."""
        return self.lent.gold

    @property
    def scratch(self) -> Path | None:
        """During ``write``: a folder that outlives an interruption."""
        return self.lent.scratch

    @classmethod
    def version(cls) -> int:
        """The card's version, raised with those of the methods that this one runs."""
        return cls.card.version + sum(other.version() - 1 for other in cls.runs)

    @property
    def needs_now(self) -> frozenset[Capability]:
        """What the model must offer with these parameters: ``needs``, and more if they ask it."""
        return self.needs

    @property
    def variant(self) -> dict[str, Any]:
        """The parameter that tells its variants apart, by name, also at its default."""
        name = self.variant_param
        return {} if name is None else {name: getattr(self.params, name)}

    @property
    def retriever_name(self) -> str | None:
        """Name of the retriever over the corpus, or a prebuilt index's place; None for none."""
        return getattr(self.params, "retriever", None)

    @property
    def retriever_settings(self) -> Mapping[str, Any]:
        """Settings of the retriever that are parameters of this method, such as BM25's k1.

        Here the terms of a sparse index. Raises ConfigError if they are given for a dense one.
        """
        params: object = self.params
        terms = params.terms() if isinstance(params, TermParams) else {}
        if terms and self.retriever_name != "bm25":
            raise ConfigError(
                f"{', '.join(terms)}: for the retriever 'bm25' only, not for "
                f"'{self.retriever_name}'; leave it out"
            )
        return terms

    @property
    def adapter(self) -> Path | None:
        """Folder of a peft LoRA adapter for the run's model, merged in while this method works.

        It holds ``adapter_config.json`` and ``adapter_model.safetensors``, whose contents become
        part of the run's identity. For a reader that was fine-tuned; follows from ``params`` alone.
        """
        return None

    @property
    def inputs(self) -> Mapping[str, str]:
        """Fingerprints, by name, of what files named by parameters hold when a run is planned.

        They become part of the run's identity; see ``harness.fingerprint.folder_fingerprint``.
        """
        return {}

    @property
    def provenance(self) -> Mapping[str, str]:
        """What a manifest records beside the config, such as where a file of ``inputs`` lay."""
        return {}

    def check_entry(self, model: ModelConfig) -> None:
        """Raise HarnessError if files or parameters do not fit the model, as its entry shows.

        Called before a model is loaded; ``check_model`` has what its weights alone tell.
        """

    def check_task(self, task: TaskCard) -> None:
        """Raise ConfigError for a task that it cannot be asked, before a model is loaded."""

    def check_write(self, train: Sequence[Question]) -> None:
        """Raise HarnessError if ``write`` would stop at its parameters, files or train questions.

        Called before a model is loaded or an index built.
        """

    def remark(self, examples: Sequence[Example]) -> str:
        """What to know of a run with these demonstrations, as the end of a sentence; "" if nothing.

        Said before a model is loaded, and kept with the run. An example lacks the gold passages
        that are not in the corpus, perhaps all.
        """
        return ""

    def trained_on(self) -> tuple[TrainedOn, ...]:
        """What the method's own parts were trained on; a run asks none of these questions.

        Follows from ``params`` alone, before anything is written. See ``harness.data.trained_on``.
        """
        return ()

    def check_model(self, llm: LanguageModel) -> None:
        """Raise ConfigError if files that parameters name do not fit the run's model.

        Called before any work, with the model as it is without ``adapter``.
        """

    @abstractmethod
    async def answer(self, query: Query) -> Prediction:
        """Answer one query. May await ``self.llm`` and ``self.retriever`` as often as needed."""

    def write(
        self, corpus: Corpus, train: Sequence[Question], folder: Path
    ) -> Coroutine[Any, Any, None] | None:
        """Build the memory of the corpus in an empty folder (safetensors, npy, JSON).

        Called once for all runs that share the memory; every run, the first among them, then
        calls ``load``. Retrieval methods need nothing beyond their index. As ``async def write`` it
        may await ``self.llm``, ``self.retriever`` and ``each``: nothing that was replied is asked
        again after an interruption, and calls and tokens are counted.
        """

    async def each(
        self,
        items: Iterable[Item],
        work: Callable[[Item], Awaitable[Made]],
        label: str = "passages",
    ) -> list[Made]:
        """In an ``async def write``: what ``work`` makes of every item, in the items' order.

        As many are at work at once as share a batch, and progress is shown under ``label``. The
        first error ends it; what a server leaves unanswered does so when all others are done.
        """
        if self.lent.under_way is None:
            raise ConfigError("each() works inside 'async def write' alone")
        return await self.lent.under_way.each(items, work, label)

    def load(self, folder: Path) -> None:
        """Open the memory that ``write`` left in ``folder``."""

    @property
    def changes(self) -> Changes:
        """What the loaded memory changes of the model while the run answers; undone exactly."""
        return NO_CHANGES

    def storage(self) -> StorageReport:
        """Bytes of the memory by part. The base accounts for the text and index it retrieves."""
        return self.retriever.storage() if self.retriever_name else StorageReport({}, 0)


def writes_memory(cls: type[Method]) -> bool:
    """Whether a method has a write phase of its own."""
    return cls.write is not Method.write
