"""Parametric QA, joint: codes of all passages, trained together with the model that reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ConfigError
from harness.files import folder_bytes, write_json
from harness.llm.changes import NO_CHANGES, Changes
from harness.method import Method, MethodCard
from harness.records import Passage, Question, StorageReport
from methods.parametric_qa.banked import GROUP
from methods.parametric_qa.method import ParametricQA
from methods.parametric_qa_joint.params import JointParams, Train

if TYPE_CHECKING:
    import torch

    from harness.data.corpus import Corpus
    from harness.llm.model_config import ModelConfig
    from harness.llm.requests import Capability
    from methods.parametric_qa.shared.bundle import Bundle

STUDY = "study.json"
_TAKES: Mapping[Train, tuple[Capability, ...]] = {
    "z": (), "z+lora": ("adapters",), "z+full": ("weights",)
}  # fmt: skip
"""What a model must take to be answered from."""


class ParametricQAJoint(ParametricQA):
    """Train the memories of a pool and the model together; read the memories a question selects."""

    card = MethodCard(
        title="Parametric QA, trained jointly",
        summary="Each document is a memory of a few vectors, trained together with a LoRA or all "
        "weights of the model that reads it.",
        paper=ParametricQA.card.paper,
        source="none; the proposal's three training options: the model frozen, with a LoRA, whole",
        deviations=(
            "It is trained on questions that a rule makes of each passage (see lora-in-weights) "
            "and on the passage's text, each beside that passage's own memory; the proposal names "
            "no data. What is asked of it later is none of it.",
            "What of the pool then sits in the weights and not in z, "
            "parametric-qa-joint-closed-book and parametric-qa-joint-shuffled tell.",
            "It goes on from parametric-qa's shared parts, and from their tuned reader if they "
            "have one: the LoRA or the weights of this memory are a change of that reader.",
            "The maps and the selector of the shared parts stay as they are, and memories are "
            "selected by codes that are trained for reading alone.",
            "-p train=z+full trains all weights but the embeddings and a head that shares them; "
            "the change of each is stored in bfloat16, so that a memory is as large as the model.",
            "-p train=z+lora has one LoRA on all linear layers, stored in float16; QLoRA is not "
            "built: rounded weights that hold the tuned reader's LoRA take no other.",
            "The last codes are kept, not the best ones, and they are not rounded in training; "
            "stored, they are what parametric-qa's are, in 8 bits a number.",
            "A pool that changes is trained anew.",
        ),
    )
    needs = frozenset({"soft-prompts", "training"})
    variant_param = "train"

    class Params(JointParams):
        """Those of parametric-qa, and those of the joint training."""

    params: Params
    _folder: Path

    revise = Method.revise  # type: ignore[assignment]  # trained together, written anew together

    @property
    def needs_now(self) -> frozenset[Capability]:
        """``needs``, and that the model takes what is trained of it."""
        return self.needs.union(_TAKES[self.params.train])

    def check_entry(self, model: ModelConfig) -> None:
        """As parametric-qa; and the model can take a LoRA beside its reader's."""
        super().check_entry(model)
        rounded = model.quantization is not None
        if rounded and self.params.train == "z+lora" and self.adapter is not None:
            raise ConfigError(
                f"train: z+lora: model '{model.name}' has rounded weights, which the tuned "
                "reader's LoRA stays beside, and takes no second one; take the model without "
                "quantization, train: z, or shared: null"
            )

    def check_bundle(self, bundle: Bundle | None) -> None:
        """As parametric-qa; and codes may leave the grid on which some parts have theirs."""
        super().check_bundle(bundle)
        if self.params.steps and bundle is not None and bundle.size is not None:
            raise ConfigError(
                f"steps = {self.params.steps}: codes of these shared parts lie on a grid within -1 "
                "and 1, which training would leave; set 0, or take parts without an encoder of "
                "several sizes"
            )

    def write(self, corpus: Corpus, train: Sequence[Question], folder: Path) -> None:
        """Make the codes that parametric-qa begins with, and train them with the model; resumable.

        Raises InputError for a passage without text or too long for the window.
        """
        import torch

        from methods.parametric_qa.write.documents import groups
        from methods.parametric_qa_joint.rows import material_of
        from methods.parametric_qa_joint.training import train_together
        from methods.study.material import told

        params, passages = self.params, list(corpus)
        bank = self._new_bank(corpus, folder)
        study: dict[str, object] = {"train": params.train, "steps": params.steps}
        codes = self._codes(passages)
        if params.steps:
            slots = self._bundle.parts.config.slots
            material = material_of(self.model, passages, slots, params, self.seed)
            codes, losses = train_together(
                self.model,
                self._bundle,
                material.rows,
                codes,
                params,
                self.seed,
                folder,
                self.scratch,
            )
            study |= told(material, losses, len(passages))
        for group, part in zip(groups(corpus, GROUP), torch.split(codes, GROUP), strict=True):
            bank.add([passage.id for passage in group], part)
        self._save_beside(bank, corpus, folder)
        write_json(folder / STUDY, study)

    def load(self, folder: Path) -> None:
        """Open the bank, as parametric-qa does, and find what of the model was trained."""
        super().load(folder)
        self._folder = folder

    @property
    def changes(self) -> Changes:
        """The LoRA, or the change of all weights; nothing if codes alone were trained."""
        from methods.parametric_qa_joint.tuning import ADAPTER, changes_in

        adapter = self._folder / ADAPTER
        if adapter.is_dir():
            return Changes(adapter=adapter)
        edits = changes_in(self._folder)
        return Changes(edits=edits) if edits else NO_CHANGES

    def storage(self) -> StorageReport:
        """As parametric-qa, and what of the model was trained, which is this pool's alone."""
        from methods.parametric_qa_joint.tuning import ADAPTER, WEIGHTS

        found = super().storage()
        sizes = [folder_bytes(self._folder / ADAPTER) if (self._folder / ADAPTER).is_dir() else 0]
        weights = self._folder / WEIGHTS
        sizes += [weights.stat().st_size] if weights.exists() else []
        parts = {**found.parts, "adapters": sum(sizes)} if any(sizes) else found.parts
        return StorageReport(parts, found.documents)

    def _codes(self, passages: Sequence[Passage]) -> torch.Tensor:
        """Codes before any step, as parametric-qa writes them."""
        from methods.parametric_qa.write.codes import write_codes

        first = self.params.model_copy(update={"steps": 0})
        return write_codes(self.model, self._bundle, passages, first, self.seed)
