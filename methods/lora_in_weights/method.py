"""LoRA in weights: the model studies the corpus and answers from what its weights then hold."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from pydantic import Field

from harness.files import folder_bytes, write_json
from harness.llm.changes import Changes
from harness.method import Method, MethodCard, MethodParams
from harness.records import Passage, Prediction, Query, Question, StorageReport
from methods.study.made import LONGEST, Way, as_text, prompts_for
from methods.study.params import LoraParams
from methods.study.prompts import closed_book

if TYPE_CHECKING:
    from harness.data.corpus import Corpus
    from harness.llm.base import LanguageModel
    from harness.llm.local import LocalModel
    from harness.llm.requests import Capability
    from methods.study.material import Material

ADAPTER, STUDY = "adapter", "study.json"


class LoraInWeights(Method):
    """Train one LoRA on all passages, then answer without reading any."""

    card = MethodCard(
        title="LoRA in weights",
        summary="One LoRA is trained on the corpus; the model answers from its weights.",
        paper="Hu et al., LoRA, ICLR 2022; Ovadia et al., Fine-Tuning or Retrieval?, EMNLP 2024; "
        "questions: Lewis, Denoyer and Riedel, Unsupervised Question Answering by Cloze "
        "Translation, ACL 2019",
        source="none; LoRA by huggingface/peft",
        version=3,
        deviations=(
            "Questions are made by rule, by a question word in the place of a name, date or number "
            "or before the rest of its sentence; the paper on cloze translation trains a "
            "translator for them, and uses them to train a reader of passages.",
            "The rules are for English; of other languages they ask what capitals and digits show.",
            "-p study=text is plain language modelling of the passages, without any question.",
            "-p study=entity-pairs has the names of EntiGraph found by rule (its model lists them) "
            "and takes pairs alone, no triples; -p study=active-reading has a fixed list of ways "
            "to read (the paper's model proposes its own for each text); -p study=self-edits has "
            "SEAL's implications without its reinforcement learning. All use the model under "
            "test, at temperature 0.7 and 128 tokens a text; the papers use larger ones.",
            "The question is asked as in training, without instruction and demonstrations (-p "
            "shots=4 shows some); other methods have both.",
            "With -p retriever=bm25 the passages are read as bm25 reads them; the LoRA is trained "
            "without passages before its questions.",
            "The LoRA is stored in float16 and merged into the weights while the run answers; "
            "beside rounded or shared weights it stays apart.",
        ),
    )
    needs: ClassVar[frozenset[Capability]] = frozenset({"training", "adapters"})
    variant_param = "study"

    class Params(LoraParams, MethodParams):
        """What is studied and how, and how questions are asked."""

        study: Literal["text", "questions", Way] = Field(
            "questions",
            description="text: the passages; questions: the passages, and questions made of them "
            "by rule; entity-pairs, active-reading, self-edits: the passages, and texts that the "
            "model makes of them",
        )
        questions: int = Field(64, ge=1, le=1000, description="made of a passage by rule, at most")
        batch: int = Field(16, ge=1, description="texts or questions of a training step")
        learning_rate: float = Field(2e-3, gt=0, description="highest of the training")
        made: int = Field(
            6, ge=1, le=100, description="texts the model makes of a passage, at most"
        )
        temperature: float = Field(0.7, ge=0, le=2, description="of the texts that the model makes")
        shots: int = Field(0, ge=0, le=64, description="demonstrations from the train split")
        retriever: str | None = Field(
            None, description="reads its passages, too, such as bm25; null: answers closed-book"
        )
        k: int = Field(5, ge=1, le=1000, description="passages read, with a retriever")
        max_tokens: int = Field(32, ge=1, description="longest answer, in tokens")

    only_answers = frozenset({"k", "retriever", "max_tokens"})
    params: Params
    _folder: Path
    _documents: int

    def check_model(self, llm: LanguageModel) -> None:
        """The model has the layers that are to have the LoRA."""
        from methods.study.lora import check_layers

        check_layers(llm, self.params)

    async def write(self, corpus: Corpus, train: Sequence[Question], folder: Path) -> None:
        """Have the model make its texts, if it is to; then train the LoRA, both resumable.

        Raises ConfigError for a model that cannot be trained.
        """
        from methods.study.lora import train_lora
        from methods.study.material import told
        from methods.study.training import trainable

        llm = trainable(self.llm.model)
        material = await self._material(llm, self._studied(list(corpus)))
        losses = train_lora(
            llm, material.rows, self.params, self.seed, folder / ADAPTER, self.scratch
        )
        write_json(folder / STUDY, told(material, losses, len(corpus)))

    def load(self, folder: Path) -> None:
        """Find the LoRA."""
        from harness.files import read_json

        self._folder = folder
        self._documents = int(read_json(folder / STUDY)["documents"])

    @property
    def changes(self) -> Changes:
        """The LoRA."""
        return Changes(adapter=self._folder / ADAPTER)

    async def answer(self, query: Query) -> Prediction:
        """Ask as the questions were studied, or with passages where a retriever is named."""
        passages: list[Passage] = []
        prompt = closed_book(query.text, self.prompts.demonstrations)
        if self.params.retriever is not None:
            passages = await self.retriever.search(query.text, k=self.params.k)
            prompt = self.prompts.read(query, passages)
        reply = await self.llm.generate(prompt, max_tokens=self.params.max_tokens, one_line=True)
        return Prediction(reply.first_line, ranked=passages)

    def storage(self) -> StorageReport:
        """The LoRA, and what is retrieved if anything is."""
        found = super().storage()
        parts = {**found.parts, "adapters": folder_bytes(self._folder / ADAPTER)}
        return StorageReport(parts, self._documents)

    def _studied(self, passages: list[Passage]) -> list[Passage]:
        """The passages whose content the weights are to hold."""
        return passages

    async def _material(self, llm: LocalModel, passages: list[Passage]) -> Material:
        from methods.study.material import of_made, of_questions, of_text

        if self.params.study == "text":
            return of_text(llm, passages)
        if self.params.study == "questions":
            return of_questions(llm, passages, self.params.questions, self.seed)
        made = await self.each(passages, self._made, "texts of passages")
        return of_made(llm, passages, [text for texts in made for text in texts])

    async def _made(self, passage: Passage) -> list[Passage]:
        """Texts that the model makes of a passage."""
        prompts = prompts_for(cast(Way, self.params.study), passage, self.params.made)
        replies = await asyncio.gather(
            *(
                self.llm.generate(
                    prompt, max_tokens=LONGEST, stop=["\n\n"], temperature=self.params.temperature
                )
                for prompt in prompts
            )
        )
        texts = [as_text(passage, *each) for each in zip(prompts, replies, strict=True)]
        return [text for text in texts if text is not None]
