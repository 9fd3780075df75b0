"""Parametric RAG: each passage is a small LoRA; those of the passages that are found are summed."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from harness.files import folder_bytes, read_json, write_json, writing
from harness.method import Method, MethodCard, MethodParams
from harness.records import Passage, Prediction, Query, Question, StorageReport
from harness.retrieval.prebuilt import RETRIEVER
from methods.study.params import LoraParams
from methods.study.prompts import closed_book

if TYPE_CHECKING:
    from harness.data.corpus import Corpus
    from harness.data.corpus_changes import CorpusChanges
    from harness.llm.base import LanguageModel
    from harness.llm.requests import Capability

INDEX, ADAPTERS = "passages.json", "adapters"


class PRAG(Method):
    """Train a LoRA on each passage; answer with the sum of those that a question finds."""

    card = MethodCard(
        title="Parametric RAG",
        summary="Each passage is a small LoRA; the sum of those found is in the weights meanwhile.",
        paper="Su et al., Parametric Retrieval-Augmented Generation, SIGIR 2025, arXiv 2501.15915",
        source="oneal2000/PRAG at 77c6ed8, read for its behaviour",
        version=3,
        deviations=(
            "Questions are made by rule (see lora-in-weights); the authors have a model rewrite "
            "the passage once and make three questions of it.",
            "The loss is that of answers, and of the passage's own text; the authors train on "
            "whole prompts, half of which hold the passage or its rewriting before the question.",
            "The authors' rank 2 and alpha 32 in MLPs are the defaults; the LoRAs are of the last "
            "third of the layers and trained at 3e-3 (theirs: all layers, 3e-4), chosen with the "
            "default model on passages of no board; it is studied more often than the one to "
            "three times of theirs.",
            "Adapters start from one draw for all passages, as theirs do.",
            "A LoRA is put beside the weights and not merged into them: the same sum, without a "
            "write to the weights, so that questions with the same passages share a batch.",
            "Closed-book by default (the authors' 'prag'); -p combine=true reads the passages too "
            "(their 'combine').",
            "The question is asked as in training, without instruction and demonstrations.",
        ),
    )
    needs: ClassVar[frozenset[Capability]] = frozenset({"training", "adapters"})

    class Params(LoraParams, MethodParams):
        """What is studied of each passage and how, what is found and how it is read."""

        study: Literal["text", "questions"] = Field(
            "questions", description="text: the passage; questions: it and questions made by rule"
        )
        questions: int = Field(12, ge=1, le=1000, description="made of a passage, at most")
        rank: int = Field(2, ge=1, le=512, description="of a passage's LoRA")
        alpha: int | None = Field(
            32,
            ge=1,
            description="over the rank, what a LoRA is multiplied by; null: twice the rank",
        )
        layers: Literal["all", "mlp"] = Field(
            "mlp", description="linear layers that have a LoRA: all but the head, or those of MLPs"
        )
        epochs: int = Field(10, ge=1, description="how often a passage's material is studied")
        batch: int = Field(4, ge=1, description="texts or questions of a training step")
        learning_rate: float = Field(3e-3, gt=0, description="highest of the training")
        shots: int = Field(0, ge=0, le=64, description="demonstrations from the train split")
        retriever: str = Field("bm25", description=RETRIEVER)
        k: int = Field(3, ge=1, le=100, description="passages whose LoRAs are summed")
        combine: bool = Field(False, description="read the passages' text, too")
        max_tokens: int = Field(32, ge=1, description="longest answer, in tokens")

    only_answers = frozenset({"k", "retriever", "combine", "max_tokens"})
    params: Params
    _folder: Path
    _places: dict[str, str]

    def check_model(self, llm: LanguageModel) -> None:
        """The model has the layers that are to have the LoRA."""
        from methods.study.lora import check_layers

        check_layers(llm, self.params)

    def write(self, corpus: Corpus, train: Sequence[Question], folder: Path) -> None:
        """Train a LoRA on every passage; those that are done are kept through an interruption.

        Raises ConfigError for a model that cannot be trained.
        """
        from methods.study.training import trainable

        trainable(self.llm.model)
        with TemporaryDirectory() as temporary:
            done = (self.scratch or Path(temporary)) / ADAPTERS
            with writing(done):
                done.mkdir(exist_ok=True)
            self._train_all(list(corpus), done)
            shutil.copytree(done, folder / ADAPTERS)
        write_json(folder / INDEX, _places(corpus))

    def revise(self, changes: CorpusChanges, train: Sequence[Question], folder: Path) -> None:
        """Train the LoRAs of new texts alone; those of other passages stay as they are."""
        places = folder / ADAPTERS
        for id_ in (*changes.deleted, *(passage.id for passage in changes.updated)):
            shutil.rmtree(places / _place(id_))
        self._train_all([*changes.updated, *changes.added], places)
        write_json(folder / INDEX, _places(changes.corpus))

    def digests(self) -> Mapping[str, bytes]:
        """The content of each passage's LoRA."""
        from harness.llm.adapters import adapter_fingerprint

        return {id_: bytes.fromhex(adapter_fingerprint(self._lora(id_))) for id_ in self._places}

    def load(self, folder: Path) -> None:
        """Learn which passage has which LoRA."""
        self._folder = folder
        self._places = read_json(folder / INDEX)

    async def answer(self, query: Query) -> Prediction:
        """Find passages, sum their LoRAs, ask closed-book or with the passages."""
        passages = await self.retriever.search(query.text, k=self.params.k)
        prompt = closed_book(query.text, self.prompts.demonstrations)
        if self.params.combine:
            prompt = self.prompts.read(query, passages)
        reply = await self.llm.generate(
            prompt,
            max_tokens=self.params.max_tokens,
            one_line=True,
            adapters=self._chosen(query, passages),
        )
        return Prediction(reply.first_line, ranked=passages)

    def storage(self) -> StorageReport:
        """The LoRAs, and the index and text that the search needs."""
        found = super().storage()
        parts = {**found.parts, "adapters": folder_bytes(self._folder / ADAPTERS)}
        return StorageReport(parts, len(self._places))

    def _chosen(self, query: Query, found: Sequence[Passage]) -> list[Path]:
        """The LoRAs that are summed for a question."""
        return [self._lora(passage.id) for passage in found]

    def _lora(self, passage_id: str) -> Path:
        return self._folder / ADAPTERS / self._places[passage_id]

    def _train_all(self, passages: Sequence[Passage], done: Path) -> None:
        """A folder in ``done`` for each of these passages; those that have one are left."""
        from rich.console import Console

        from harness.progress import bar

        left = [passage for passage in passages if not (done / _place(passage.id)).is_dir()]
        started = len(passages) - len(left)
        with bar(Console(stderr=True), "LoRAs of passages", len(passages), started) as shown:
            for passage in left:
                place = done / _place(passage.id)
                part = place.with_suffix(".part")
                shutil.rmtree(part, ignore_errors=True)
                self._train(passage, part)
                # Last, so that a folder of this name is whole.
                part.rename(place)
                shown.advance()

    def _train(self, passage: Passage, folder: Path) -> None:
        from methods.study.lora import train_lora
        from methods.study.material import of_questions, of_text
        from methods.study.training import trainable

        llm = trainable(self.llm.model)
        if self.params.study == "text":
            material = of_text(llm, [passage])
        else:
            material = of_questions(llm, [passage], self.params.questions, self.seed)
        train_lora(llm, material.rows, self.params, self.seed, folder, None, label=None)


def _places(corpus: Corpus) -> dict[str, str]:
    return {id_: _place(id_) for id_ in corpus.ids}


def _place(passage_id: str) -> str:
    """The name of a passage's folder: the same whatever else is in the corpus."""
    return hashlib.sha256(passage_id.encode()).hexdigest()[:16]
