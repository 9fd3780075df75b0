"""A method whose memory is a bank: the codes of a corpus's passages, and what they share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from harness.errors import ConfigError
from harness.records import Passage, Question
from methods.parametric_qa.reader import SharedParams, TunedReader, check_shared

if TYPE_CHECKING:
    import torch

    from harness.data.corpus import Corpus
    from harness.data.corpus_changes import CorpusChanges
    from harness.llm.local import LocalModel
    from harness.llm.model_config import ModelConfig
    from harness.llm.requests import Capability
    from methods.parametric_qa.memory.bank import MemoryBank
    from methods.parametric_qa.shared.bundle import Bundle
    from methods.parametric_qa.shared.selection import Selection

GROUP = 256
"""Documents that are written and added to the bank together."""


class BankParams(SharedParams):
    """What codes are made of, and how they are stored."""

    slots: int | None = Field(None, ge=1, le=512, description="vectors of a memory, untrained")
    z_dim: int | None = Field(None, ge=1, description="dimension of a vector, untrained")
    init: str | None = None
    code_dtype: Literal["float16", "int8"] = Field("int8", description="how codes are stored")
    max_tokens: int = Field(32, ge=1, description="longest answer, in tokens")

    @model_validator(mode="after")
    def _shape_of_untrained_parts(self) -> Any:
        if self.shared is not None and (self.slots or self.z_dim):
            raise ValueError("slots and z_dim are for untrained parts: set shared to null")
        return self


class Banked(TunedReader):
    """Write every passage into a code; a reader reads some of them as soft prompts."""

    needs: ClassVar[frozenset[Capability]] = frozenset({"hidden-states", "soft-prompts"})
    params: BankParams
    _bundle: Bundle
    _bank: MemoryBank

    @abstractmethod
    def _codes(self, passages: Sequence[Passage]) -> torch.Tensor:
        """Codes [passages, slots, z_dim] of some passages, each depending on its own alone."""

    @property
    def selection(self) -> Selection | None:
        """How memories are selected by their codes; None: as the shared parts were trained."""
        return None

    @property
    def size(self) -> str | None:
        """Which of several sizes of codes; None: the shared parts' first."""
        return None

    @property
    def inputs(self) -> Mapping[str, str]:
        """The shared parts' content."""
        from methods.parametric_qa.shared.bundle import contents_fingerprint, find_bundle

        shared = self.params.shared
        return {"shared": contents_fingerprint(find_bundle(shared))} if shared else {}

    @property
    def model(self) -> LocalModel:
        """The model whose embeddings are written and read."""
        from harness.llm.local import LocalModel

        found = self.llm.model
        if not isinstance(found, LocalModel):
            raise ConfigError(
                f"model '{found.name}' shows no embeddings; take a local transformers model"
            )
        return found

    def check_entry(self, model: ModelConfig) -> None:
        """Trained shared parts are whole, of this size, for one style of prompts and fit."""
        self.check_bundle(check_shared(self.params.shared, model, self.size))

    def check_bundle(self, bundle: Bundle | None) -> None:
        """Raise ConfigError for parameters that trained shared parts do not go with.

        Where they have no encoder, no first code can be one's, and tokens are no vectors.
        """
        from methods.parametric_qa.write.codes import NO_ENCODER, check_tokens

        if bundle is not None and bundle.parts.config.picks:
            check_tokens(self.params.init, getattr(self.params, "steps", 0))
        if self.params.init == "encoder" and (bundle is None or bundle.encoder is None):
            raise ConfigError(NO_ENCODER)

    def write(self, corpus: Corpus, train: Sequence[Question], folder: Path) -> None:
        """Write every passage into a bank; untrained shared parts are saved beside it.

        Raises InputError for a passage without text.
        """
        from methods.parametric_qa.write.documents import groups

        bank = self._new_bank(corpus, folder)
        for passages in groups(corpus, GROUP):
            bank.add([p.id for p in passages], self._codes(passages))
        self._save_beside(bank, corpus, folder)

    def _new_bank(self, corpus: Corpus, folder: Path) -> MemoryBank:
        """An empty bank for codes of the shared parts, which are opened."""
        from methods.parametric_qa.memory.bank import BankConfig, MemoryBank

        self._bundle = self._trained() or self._untrained(corpus)
        shape = self._bundle.parts.config
        config = BankConfig(
            slots=shape.slots,
            z_dim=self._bundle.stored_dim,
            dtype=self._bundle.stored_as or self.params.code_dtype,
            fingerprint=self._bundle.fingerprint(),
            corpus_fingerprint=corpus.fingerprint,
        )
        return MemoryBank.create(folder / "bank", config)

    def _save_beside(self, bank: MemoryBank, corpus: Corpus, folder: Path) -> None:
        """What a written bank needs beside it: shared parts that are untrained."""
        if self._bundle.folder is None:
            self._bundle.save(folder / "shared")

    def load(self, folder: Path) -> None:
        """Open the bank.

        Raises ConfigError unless it was written with this model and these shared parts, of the
        run's corpus.
        """
        from methods.parametric_qa.memory.bank import MemoryBank
        from methods.parametric_qa.shared.bundle import Bundle

        trained = self._trained()
        self._bundle = trained or Bundle.load(folder / "shared")
        if trained is None:
            self._bundle.parts.check_model(self.model.model, self.model.name)
        bank = MemoryBank.open(folder / "bank", self._bundle.fingerprint())
        corpus = self.retriever.corpus
        if corpus is not None:
            bank.check_corpus(corpus.fingerprint)
        self._bank = bank

    def revise(self, changes: CorpusChanges, train: Sequence[Question], folder: Path) -> None:
        """Write the codes of new and updated documents, remove those of deleted ones."""
        from methods.parametric_qa.write.documents import revise_bank

        revise_bank(self._bank, changes, self._codes)

    @property
    def revision_differs(self) -> str:
        """Untrained parts are made of a corpus, and stay."""
        told = "The salience of untrained shared parts stays that of the first corpus."
        return told if self.params.shared is None else ""

    def digests(self) -> Mapping[str, bytes]:
        """Hashes of every stored byte of a code."""
        return {id_: blake2b(self._bank.raw(id_)).digest() for id_ in self._bank.ids}

    def _untrained(self, corpus: Corpus) -> Bundle:
        from methods.parametric_qa.shared.open_bundle import untrained_bundle

        params = self.params
        return untrained_bundle(self.model, corpus, params.slots, params.z_dim, self.selection)

    def _trained(self) -> Bundle | None:
        from methods.parametric_qa.shared.open_bundle import trained_bundle

        shared = self.params.shared
        if shared is None:
            return None
        return trained_bundle(self.model, shared, self.selection, self.size)

    def _memories(self, ids: Sequence[str]) -> tuple[torch.Tensor, ...]:
        """What the model reads, [1 + slots, hidden] of each memory, the best one last."""
        if not ids:
            return ()
        codes = self._bank.codes(list(ids)[::-1])
        return self._bundle.parts.memory(self._bundle.numbers(codes)).unbind(0)
