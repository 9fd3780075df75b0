"""Consolidation: documents whose memories are read most are studied by a LoRA and asked of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from harness import trace
from harness.data.trained_on import TrainedOn
from harness.errors import ConfigError
from harness.files import folder_bytes, read_json, write_json
from harness.fingerprint import fingerprint_lines
from harness.llm.changes import NO_CHANGES, Changes
from harness.method import MethodCard
from harness.prompts import without_places
from harness.records import Hit, Prediction, Query, Question, StorageReport
from methods.consolidation.log import most_read, read_log
from methods.consolidation.params import ConsolidationParams
from methods.parametric_qa.method import ParametricQA
from methods.study.prompts import closed_book

if TYPE_CHECKING:
    from harness.data.corpus import Corpus
    from harness.data.corpus_changes import CorpusChanges
    from harness.llm.base import LanguageModel
    from harness.llm.model_config import ModelConfig
    from harness.llm.requests import Capability
    from methods.parametric_qa.choose import Chosen

WEIGHTS = "weights"
"""The folder, in a memory, of what is consolidated: the LoRA, and which documents it studied."""
ADAPTER, DOCUMENTS, STUDY = f"{WEIGHTS}/adapter", f"{WEIGHTS}/documents.json", "study.json"
_KEPT = (
    "What was read most when the memory was written stays consolidated until it changes, and the "
    "LoRA studies nothing anew"
)


class ParametricQAConsolidated(ParametricQA):
    """Select a memory; if its document is consolidated, answer from the weights, else read it."""

    card = MethodCard(
        title="Parametric QA, consolidated",
        summary="parametric-qa, but the documents that a log's questions read most are studied by "
        "a LoRA, and questions about them are answered from the weights.",
        paper="the proposal 'LLM as Memory' (2026), memory consolidation; Hu et al., LoRA, ICLR "
        "2022",
        source="none; memories are parametric-qa's, the study is lora-in-weights'",
        deviations=(
            "The proposal names consolidation in a line (facts that are used often move into the "
            "weights) and draws it as full fine-tuning; here a LoRA does it, once, when the memory "
            "is written.",
            "How often a document is used is how often it is the best one that the method selects "
            "for the questions of a log (-p log=PATH), by default the task's train questions.",
            "Consolidated documents are studied as lora-in-weights studies passages: their texts, "
            "and questions made of them by rule. The log says what is studied; it is not studied.",
            "The LoRA stands on the tuned reader's, which is in the weights meanwhile. It is "
            "beside the weights while a question about a consolidated document is answered, and "
            "not there for others; -p in_force=always has it in the weights for all.",
            "The codes of consolidated documents stay, since documents are found by them: "
            "consolidation adds the bytes of the LoRA and saves none.",
            "The best document alone decides: with -p k=2 the second one is not read beside the "
            "weights.",
            "A document that is changed or deleted is consolidated no longer, and its memory is "
            "read as it is now. What the LoRA holds of its old text stays until the memory is "
            "written anew: a question about it that selects another consolidated document meets "
            "it, and with -p in_force=always every question does.",
            "Such a question is asked as it was studied, which in a chat is without parametric-"
            "qa's instruction.",
        ),
    )
    needs: ClassVar[frozenset[Capability]] = ParametricQA.needs | {"training", "adapters"}
    variant_param: ClassVar[str | None] = "in_force"

    class Params(ConsolidationParams):
        """Those of parametric-qa; what is consolidated, how it is studied and when it counts."""

    only_answers = ParametricQA.only_answers | {"in_force"}
    params: Params
    _folder: Path
    _consolidated: frozenset[str]

    @property
    def inputs(self) -> Mapping[str, str]:
        """The shared parts' content, and the log's."""
        log = self.params.log
        own = {} if log is None else {"log": fingerprint_lines(q.text for q in read_log(log))}
        return {**super().inputs, **own}

    @property
    def provenance(self) -> Mapping[str, str]:
        """Where the log lay."""
        return {} if self.params.log is None else {"log": self.params.log}

    def trained_on(self) -> tuple[TrainedOn, ...]:
        """The shared parts' questions, and the log's: these decide what is consolidated."""
        log = self.params.log
        own = () if log is None else (TrainedOn.of(f"log '{log}'", read_log(log)),)
        return (*super().trained_on(), *own)

    def check_write(self, train: Sequence[Question]) -> None:
        """There are questions that say what is read often."""
        super().check_write(train)
        if self.params.log is None and not train:
            raise ConfigError(
                "log = null: the task has no train questions that say which documents are read "
                "often; give a file of questions (-p log=PATH)"
            )

    def check_entry(self, model: ModelConfig) -> None:
        """Rounded weights keep the reader's LoRA beside them, so that none can be trained on it."""
        super().check_entry(model)
        if model.quantization is not None and self.adapter is not None:
            raise ConfigError(
                f"model '{model.name}' is rounded ({model.quantization}), so the reader's LoRA is "
                "not merged and no second one is trained over it; take the model without "
                "quantization, or shared: null"
            )

    def check_model(self, llm: LanguageModel) -> None:
        """The shared parts fit the model, and it can be trained."""
        from methods.study.lora import check_layers

        super().check_model(llm)
        check_layers(llm, self.params.lora)

    def write(self, corpus: Corpus, train: Sequence[Question], folder: Path) -> None:
        """Write the bank, select for the log's questions, study what they read most; resumable.

        Raises ConfigError if no document was read often enough.
        """
        from methods.study.lora import train_lora
        from methods.study.material import of_questions, of_text, told

        params = self.params
        super().write(corpus, train, folder)
        super().load(folder)
        kept = most_read(self._reads(train), corpus.ids, params.share, params.reads)
        passages = [passage for passage in corpus if passage.id in kept]
        if params.study == "text":
            material = of_text(self.model, passages)
        else:
            material = of_questions(self.model, passages, params.questions, self.seed)
        losses = train_lora(
            self.model, material.rows, params.lora, self.seed, folder / ADAPTER, self.scratch,
            "consolidation",
        )  # fmt: skip
        write_json(folder / DOCUMENTS, list(kept))
        write_json(folder / STUDY, {**told(material, losses, len(kept)), "reads": kept})

    def load(self, folder: Path) -> None:
        """Open the bank, and find the LoRA and what it is asked of."""
        super().load(folder)
        self._folder = folder
        self._consolidated = frozenset(read_json(folder / DOCUMENTS))

    def revise(self, changes: CorpusChanges, train: Sequence[Question], folder: Path) -> None:
        """Change the bank; documents whose text is another now, or gone, are read or not found."""
        super().revise(changes, train, folder)
        stale = {*changes.deleted, *(passage.id for passage in changes.updated)}
        kept = [id_ for id_ in read_json(folder / DOCUMENTS) if id_ not in stale]
        write_json(folder / DOCUMENTS, kept)

    @property
    def revision_differs(self) -> str:
        """What is consolidated is chosen once."""
        return " ".join(filter(None, [super().revision_differs, f"{_KEPT}."]))

    def digests(self) -> Mapping[str, bytes]:
        """Hashes of every stored byte of a code, and of whether its document is consolidated."""
        return {
            id_: blake2b(code + bytes([id_ in self._consolidated])).digest()
            for id_, code in super().digests().items()
        }

    @property
    def changes(self) -> Changes:
        """The LoRA, if it is in force for all questions."""
        always = self.params.in_force == "always"
        return Changes(adapter=self._studied) if always else NO_CHANGES

    async def answer(self, query: Query) -> Prediction:
        """Select; ask the weights of a consolidated document, read the memory of another."""
        with trace.timed("select"):
            chosen = self._choose(query)
        if not chosen or chosen[0].id not in self._consolidated:
            trace.note("route", way="memory")
            return await self._by_memory(query, chosen)
        trace.note("route", way="weights")
        return await self._by_weights(query, chosen)

    def storage(self) -> StorageReport:
        """The bank's files, those of what is consolidated, and what all share."""
        report = super().storage()
        parts = {**report.parts, "adapters": folder_bytes(self._folder / WEIGHTS)}
        return StorageReport(parts, report.documents)

    @property
    def _studied(self) -> Path | None:
        """The LoRA that studied what is consolidated."""
        return self._folder / ADAPTER

    async def _by_weights(self, query: Query, chosen: Sequence[Chosen]) -> Prediction:
        """Ask as was studied, without any memory."""
        self._note(chosen, ())
        own = self._studied if self.params.in_force == "own" else None
        reply = await self.llm.generate(
            closed_book(without_places(query.text), self.prompts.demonstrations),
            max_tokens=self.params.max_tokens,
            one_line=True,
            adapters=[own] if own is not None else [],
        )
        return Prediction(reply.first_line, ranked=[Hit(c.id, c.score) for c in chosen], read=())

    def _reads(self, train: Sequence[Question]) -> Counter[str]:
        """How many questions of the log have a document as the best one, by its id."""
        from rich.console import Console

        from harness.progress import bar

        log = self.params.log
        asked = [question.query for question in train] if log is None else read_log(log)
        reads = Counter[str]()
        with bar(Console(stderr=True), "questions of the log", len(asked)) as shown:
            for query in asked:
                reads.update(found.id for found in self._chooser.choose(query.text, 1))
                shown.advance()
        return reads
