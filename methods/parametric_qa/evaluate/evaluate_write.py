"""Write some passages of a task's corpus and measure what can be read out of their memories."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

from harness.boards.task_entry import TaskSource
from harness.errors import CapabilityError, ConfigError, InputError
from harness.fingerprint import sample_by_hash
from harness.llm.catalogue import DEFAULT_MODEL, resolve_model
from harness.llm.local import LocalModel
from harness.llm.open import open_model
from harness.llm.style import prompt_style
from harness.meters.hardware import describe_hardware, set_torch_threads
from methods.parametric_qa.evaluate.reconstruction import Reconstruction, reconstruct
from methods.parametric_qa.memory.quantise import quantised
from methods.parametric_qa.shared.bundle import adapter_of, base_of, check_style
from methods.parametric_qa.shared.encoders import find_encoder
from methods.parametric_qa.shared.initial import document_tokens
from methods.parametric_qa.shared.parts import SharedParts
from methods.parametric_qa.write.codes import NO_ENCODER, first_codes
from methods.parametric_qa.write.writing import WriteSettings, Written, optimise

if TYPE_CHECKING:
    from rich.console import Console

    from harness.data.corpus import Corpus
    from harness.llm.model_config import ModelConfig
    from harness.records import Passage

SLOTS = 8
BITS_A_NUMBER = 16
Init = Literal["random", "spans", "encoder"]


class EvaluateOptions(BaseModel):
    """What to write, how, and with what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: TaskSource
    passages: int = Field(16, ge=1)
    slots: int | None = Field(None, ge=1, description="None: the shared parts', else 8")
    z_dim: int | None = Field(None, ge=1, description="None: the shared parts', else full width")
    init: Init = "random"
    settings: WriteSettings = WriteSettings()
    shared: Path | None = None
    model: str = DEFAULT_MODEL
    seed: int = 0
    max_tokens: int | None = Field(None, ge=1, description="longer passages are cut to so many")
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Where the figures come from (``facts``), the figures, and each document's report."""

    facts: dict[str, Any]
    summary: dict[str, float]
    scores: Reconstruction
    written: Written

    def rows(self) -> list[dict[str, Any]]:
        """One flat record a document."""
        return [
            {
                **{k: v for k, v in asdict(scores).items() if k != "greedy"},
                "perplexity_with": scores.perplexity_with,
                "perplexity_without": scores.perplexity_without,
                "steps": report.steps,
                "greedy": scores.greedy,
            }
            for scores, report in zip(self.scores.documents, self.written.reports, strict=True)
        ]


def evaluate_write(options: EvaluateOptions, out: Path | None, console: Console) -> Evaluation:
    """Write the passages and measure their memories, stored as float16.

    With ``out``, finished batches are kept there until the end, so that an interrupted evaluation
    goes on where it was. Raises InputError or ConfigError for options that do not fit.
    """
    name, corpus = options.task.corpus()
    passages = choose(corpus, options.passages, name)
    trained = trained_parts(options)
    encoder = find_encoder(options.shared) if options.shared is not None else None
    if options.init == "encoder" and encoder is None:
        raise ConfigError(NO_ENCODER)
    set_torch_threads()
    llm = open_local(options.model, options.device)
    parts = fitting_parts(llm, trained, options).to(llm.device).requires_grad_(False)
    documents = [document_tokens(llm, passage)[: options.max_tokens] for passage in passages]
    names = [passage.id for passage in passages]
    scratch = out / ".scratch" if out is not None else None
    adapter = adapter_of(options.shared) if options.shared is not None else None
    if encoder is not None:
        encoder.join(parts)
    with llm.adapted(adapter):
        start = perf_counter()
        codes = first_codes(llm, parts, encoder, documents, names, options.init, options.seed)
        written = optimise(
            llm, parts, documents, codes, options.settings,
            names=names, scratch=scratch, console=console,
        )  # fmt: skip
        seconds = perf_counter() - start
        scores = reconstruct(llm, parts, quantised(written.codes, "float16"), documents, names)
    if scratch is not None:
        shutil.rmtree(scratch, ignore_errors=True)
    facts = _facts(options, name, llm, parts, corpus) | {"write_seconds": round(seconds, 3)}
    return Evaluation(facts, scores.summary(parts, BITS_A_NUMBER), scores, written)


def choose(corpus: Corpus, count: int, name: str) -> list[Passage]:
    """The passages whose ids have the smallest SHA-256: a fixed random sample.

    A larger sample contains a smaller one. Raises InputError if there are not so many.
    """
    if count > len(corpus):
        raise InputError(
            f"the corpus of '{name}' holds {len(corpus):,} passages, not {count:,}; ask for fewer"
        )
    ids = sample_by_hash(corpus.ids, count, str)
    return [corpus.get(id_) for id_ in ids]


def open_local(model: str, device: str | None) -> LocalModel:
    """A model whose inputs can be vectors. Raises CapabilityError for one that runs elsewhere."""
    llm = open_model(local_entry(model), device=device)
    assert isinstance(llm, LocalModel)  # by its kind
    return llm


def local_entry(model: str) -> ModelConfig:
    """The entry of a model whose inputs can be vectors. Raises CapabilityError for another."""
    config = resolve_model(model)
    if config.kind != "transformers":
        raise CapabilityError(
            f"model '{config.name}' cannot read vectors; memories need a model that transformers "
            "runs in this process, such as hf:ORG/NAME"
        )
    return config


def trained_parts(options: EvaluateOptions) -> SharedParts | None:
    """The parts that ``options`` name, if any.

    Raises ConfigError if they have another shape, or are for another style of prompts, or if their
    codes are tokens.
    """
    if options.shared is None:
        return None
    parts, model = SharedParts.load(base_of(options.shared)), local_entry(options.model)
    check_style(options.shared, prompt_style(model), model.name)
    for name in ("slots", "z_dim"):
        asked, there = getattr(options, name), getattr(parts.config, name)
        if asked not in (None, there):
            raise ConfigError(
                f"{options.shared}: these shared parts have {name} = {there}, not {asked}; leave "
                f"it out or train others"
            )
    if parts.config.picks:
        raise ConfigError(
            f"the codes of '{options.shared}' are tokens of the text, which no optimisation "
            "writes; give shared parts whose codes are vectors"
        )
    return parts


def fitting_parts(
    llm: LocalModel, trained: SharedParts | None, options: EvaluateOptions
) -> SharedParts:
    """Trained parts, or untrained ones of the shape asked for.

    Raises ConfigError for parts that were trained with another model.
    """
    if trained is None:
        width = llm.model.get_input_embeddings().weight.shape[1]
        return SharedParts.from_model(llm, options.slots or SLOTS, options.z_dim or width)
    trained.check_model(llm.model, llm.name)
    return trained


def _facts(
    options: EvaluateOptions, task: str, llm: LocalModel, parts: SharedParts, corpus: Corpus
) -> dict[str, Any]:
    return {
        "model": llm.name,
        "model_fingerprint": parts.config.model_fingerprint,
        "task": task,
        "corpus_fingerprint": corpus.fingerprint,
        "passages": options.passages,
        "max_tokens": options.max_tokens,
        "slots": parts.config.slots,
        "z_dim": parts.config.z_dim,
        "bits_a_number": BITS_A_NUMBER,
        "shared": str(options.shared) if options.shared is not None else "untrained",
        "shared_fingerprint": parts.fingerprint(),
        "init": options.init,
        "settings": options.settings.model_dump(),
        "seed": options.seed,
        "hardware": describe_hardware().summary,
        "threads": torch.get_num_threads(),
        "date": date.today().isoformat(),
    }
