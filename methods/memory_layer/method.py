"""Memory layer: product keys in the place of one MLP; the corpus is in the values of few slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from harness.files import read_json, write_json
from harness.llm.changes import Changes
from harness.method import Method, MethodCard, MethodParams
from harness.records import Passage, Prediction, Query, Question, StorageReport
from methods.other_pool import DEFAULT_OTHER, open_pool
from methods.study.params import StudyParams
from methods.study.prompts import closed_book

if TYPE_CHECKING:
    from harness.data.corpus import Corpus
    from harness.llm.base import LanguageModel
    from harness.llm.local import LocalModel
    from harness.llm.requests import Capability
    from methods.memory_layer.kept import Retrofit
    from methods.memory_layer.network import MemoryLayer
    from methods.study.material import Material

STUDY = "study.json"


class MemoryLayerMethod(Method):
    """Put a memory layer in the place of one MLP, and train the slots that the corpus uses."""

    card = MethodCard(
        title="Memory layer",
        summary="Product keys stand in the place of one MLP; the corpus is in the values of few "
        "slots.",
        paper="Lin et al., Continual Learning via Sparse Memory Finetuning, 2025, arXiv "
        "2510.15103; Berges et al., Memory Layers at Scale, 2024, arXiv 2412.09764; Lample et al., "
        "Large Memory Layers with Product Keys, NeurIPS 2019",
        source="none; written after the papers",
        version=2,
        deviations=(
            "The papers' models are trained with their memory layers. Here one is fitted to a "
            "finished model: keys are centres of what enters the MLP on a background of passages, "
            "and all values begin at zero.",
            "By default the MLP stays under the layer, so that nothing is lost before the study; "
            "-p mlp=replaced has a linear map in its place, fitted to its outputs in closed form.",
            "Values are not taught the MLP's outputs: from as much text as a write can spare they "
            "learn little that a linear map does not (README).",
            "A layer has no gate and no projection of its output (Memory+), and queries are no "
            "trained map but whitened, rotated principal components.",
            "A slot's weight counts from the best slot that is left out, so that no answer depends "
            "on rounding; the papers have a softmax over the slots found.",
            "Slots are chosen once for each passage, among those that its rows find, by TF-IDF; "
            "the paper chooses them for every batch of a step.",
            "The background are the first passages of another pool, each one document of the "
            "rarity; the paper's, batches of its training data.",
            "AdamW; the paper found SGD to forget less.",
            "Values of one slot serve every passage that finds it, so nothing is updated in place: "
            "a changed corpus is written anew.",
            "Its F1 was measured with the default model alone, never at full size.",
        ),
    )
    needs: ClassVar[frozenset[Capability]] = frozenset({"training", "weights"})
    variant_param = "mlp"

    class Params(StudyParams, MethodParams):
        """The layer, what is studied and how, and how questions are asked."""

        mlp: Literal["kept", "replaced"] = Field(
            "kept",
            description="kept: the MLP stays under the layer; replaced: a linear map is in its "
            "place, fitted to what it did",
        )
        depth: float = Field(
            0.8, ge=0, le=1, description="whose MLP: 0 the first layer's, 1 the last's"
        )
        half_keys: int = Field(
            256, ge=32, le=4096, description="of each half and head; their square are the slots"
        )
        heads: int = Field(4, ge=1, le=64, description="queries of a token")
        k: int = Field(8, ge=1, le=64, description="slots that a query reads")
        slots: int = Field(256, ge=1, le=100_000, description="that a passage may change, at most")
        background: str = Field(
            DEFAULT_OTHER,
            description="a task by name, or a corpus file, whose first passages the keys are "
            "fitted to and the rarity of slots is counted in",
        )
        background_tokens: int = Field(12_000, ge=32, description="of the background, about")
        study: Literal["text", "questions"] = Field(
            "questions",
            description="text: the passages; questions: they and questions made of them by rule",
        )
        questions: int = Field(64, ge=1, le=1000, description="made of a passage by rule, at most")
        learning_rate: float = Field(
            0.1, gt=0, description="highest, in units of the MLP's usual output"
        )
        shots: int = Field(0, ge=0, le=64, description="demonstrations from the train split")
        max_tokens: int = Field(32, ge=1, description="longest answer, in tokens")

    only_answers = frozenset({"max_tokens"})
    params: Params
    _name: str
    _layer: MemoryLayer
    _folder: Path
    _documents: int

    @property
    def inputs(self) -> Mapping[str, str]:
        """The background."""
        return {"background": open_pool(self.params.background).fingerprint}

    def check_model(self, llm: LanguageModel) -> None:
        """The model has an MLP that the layer can stand in for."""
        from methods.study.passing import mlp_name
        from methods.study.training import trainable

        mlp_name(trainable(llm), self.params.depth)

    def write(self, corpus: Corpus, train: Sequence[Question], folder: Path) -> None:
        """Fit the layer to the background; then train what the corpus uses of it, resumable.

        Raises ConfigError for a model that cannot be trained or has no MLP to stand in for.
        """
        from methods.memory_layer import writing
        from methods.study.material import joined, told
        from methods.study.passing import mlp_name
        from methods.study.training import trainable

        llm, params = trainable(self.llm.model), self.params
        name = mlp_name(llm, params.depth)
        background = open_pool(params.background)
        made = self._retrofit(llm, name, background)
        parts = [self._material(llm, passage) for passage in self._studied(list(corpus))]
        changed, kept = writing.slots_of(llm, name, made, parts, params.slots)
        layer = writing.new_layer(llm, name, made, changed)
        material, own = joined(parts), {**params.model_dump(), "pool": background.fingerprint}
        losses = writing.study(
            llm, name, layer, material.rows, kept, params, own, self.seed, self.scratch
        )
        writing.save(folder, made, layer)
        layer_told = {"layer": name, "scale": made.scale, "missed": made.missed}
        counts = {"slots": made.keys.slots, "changed": len(changed)}
        write_json(folder / STUDY, {**told(material, losses, len(corpus)), **layer_told, **counts})

    def load(self, folder: Path) -> None:
        """Open the layer."""
        from methods.memory_layer.writing import opened
        from methods.study.training import trainable

        known = read_json(folder / STUDY)
        self._folder, self._name = folder, known["layer"]
        self._documents = known["documents"]
        llm = trainable(self.llm.model)
        self._layer = opened(llm, self._name, folder, self.params.k, known["scale"])

    @property
    def changes(self) -> Changes:
        """The layer, in the place of the MLP."""
        return Changes(edits={self._name: self._layer})

    async def answer(self, query: Query) -> Prediction:
        """Ask as the questions were studied."""
        prompt = closed_book(query.text, self.prompts.demonstrations)
        reply = await self.llm.generate(prompt, max_tokens=self.params.max_tokens, one_line=True)
        return Prediction(reply.first_line)

    def storage(self) -> StorageReport:
        """The values that the corpus changed, and the layer that all corpora share."""
        from methods.memory_layer.writing import LAYER, VALUES

        files = {"memory vectors": VALUES, "shared parameters": LAYER}
        parts = {part: (self._folder / file).stat().st_size for part, file in files.items()}
        return StorageReport(parts, self._documents)

    def _studied(self, passages: list[Passage]) -> list[Passage]:
        """The passages whose content the values are to hold."""
        return passages

    def _retrofit(self, llm: LocalModel, name: str, background: Corpus) -> Retrofit:
        from methods.memory_layer.retrofit import background_rows, retrofit
        from methods.study.training import checkpoint_place

        params, scratch = self.params, self.scratch
        rows = tuple(background_rows(llm, background, params.background_tokens))
        shape = {"heads": params.heads, "half_keys": params.half_keys, "k": params.k}
        replaced, place = params.mlp == "replaced", None
        if scratch is not None:
            own = {**shape, "name": name, "replaced": replaced}
            place = checkpoint_place(scratch, "retrofit", rows, own, self.seed)
        return retrofit(llm, name, rows, **shape, replaced=replaced, seed=self.seed, place=place)

    def _material(self, llm: LocalModel, passage: Passage) -> Material:
        from methods.study.material import of_questions, of_text

        if self.params.study == "text":
            return of_text(llm, [passage])
        return of_questions(llm, [passage], self.params.questions, self.seed)
