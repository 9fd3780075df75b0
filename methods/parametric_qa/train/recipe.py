"""A recipe: how shared parts are trained. YAML into a validated model; unknown keys are errors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from harness.method import later
from methods.parametric_qa.shared.bundle import SelectorConfig
from methods.parametric_qa.shared.encoders import InitName
from methods.parametric_qa.shared.parts import MOST_SLOTS
from methods.parametric_qa.shared.span_encoder import LAYERS, RANK
from methods.recipes import Part, TaskRecipe, read

RECIPES = Path(__file__).parents[1] / "recipes"


class Losses(Part):
    """How often each loss is taken: shares of the steps, by weight. 0 switches one off."""

    answer: float = Field(1.0, ge=0, description="the golden answer, after memories and question")
    distil: float = Field(
        0.0,
        ge=0,
        description="what the reader predicts that training starts from (else the untuned model) "
        "while it reads the text",
    )
    reconstruct: float = Field(0.0, ge=0, description="the document, after its memory")
    follow: float = Field(0.0, ge=0, description="its second half, after a memory of its first")


class SelectorTraining(Part):
    """InfoNCE on gold documents with in-batch and BM25 hard negatives."""

    steps: int = Field(200, ge=0)
    batch: int = Field(32, ge=2, description="questions of a step")
    learning_rate: float = Field(1e-3, gt=0)
    temperature: float = Field(0.05, gt=0, description="at the start; it is learned")
    hard: int = Field(2, ge=0, description="BM25's best wrong passages for each question")
    random: int = Field(64, ge=0, description="random passages for all questions of a step")
    fragments: float = Field(
        0.5, ge=0, lt=1, description="share of questions that are a few words of a passage"
    )


class Tuning(Part):
    """What of the language model is trained."""

    mode: Literal["frozen", "lora", "full"] = Field(
        "lora", description="lora on a model of quantization nf4 is QLoRA"
    )
    rank: int = Field(16, ge=1)
    stored_rank: int | None = later(
        None, ge=1, description="rank of the LoRA as written: the nearest one; null: as trained"
    )
    learning_rate: float = Field(5e-4, gt=0)
    parts: bool = later(True, description="whether the shared maps and the mark are trained, too")
    gradient_checkpointing: bool = Field(
        False, description="compute layers twice to save memory; the gradients are the same"
    )


class EncoderShape(Part):
    """Which of the model's layers read a document for spans+encoder, and its adapter's rank."""

    layers: int = Field(LAYERS, ge=1, description="first layers of the model, at most all")
    rank: int = Field(RANK, ge=1)


class Recipe(TaskRecipe):
    """Everything that decides what training gives, beside the data."""

    sources: tuple[str, ...] = later(
        (), description="other rows to learn from: files SOURCE.jsonl.gz in the folder --rows"
    )
    own: float | None = later(
        None,
        ge=0,
        le=1,
        description="share of rows that ask train questions of the tasks alone, which sources "
        "outnumber; the others ask any. null: all rows ask any",
    )
    start: str | None = later(
        None, description="shared parts to go on from: the name of shipped ones or a folder"
    )
    slots: int = Field(32, ge=1, le=MOST_SLOTS)
    z_dim: int = Field(ge=1)
    sharpness: float = Field(3.0, ge=0)
    picks: bool = later(
        False, description="a slot is one token of the text, stored as its id (an extract)"
    )
    asking: float = later(
        0.0,
        ge=0,
        description="of picks: what being of a question counts beside being of an answer (1), for "
        "a token to be kept",
    )
    cuts: tuple[Annotated[int, Field(ge=1, le=MOST_SLOTS)], ...] = later(
        (),
        description="how many tokens of a code rows show, drawn for each step, so that the reader "
        "learns several sizes; of picks alone. Empty: all slots",
    )
    init: InitName = Field(
        "spans",
        description="what codes are made of: means of spans, or an encoder trained along: one that "
        "reads memory tokens, or one that adds to the means of spans",
    )
    encoder: EncoderShape = later(EncoderShape(), description="of spans+encoder")
    selector: SelectorConfig = SelectorConfig()
    selection: SelectorTraining = SelectorTraining()
    stop: Literal["fixed", "learned"] = later(
        "fixed",
        description="when rounds of selection stop: by a fixed share of a question's tokens, or by "
        "a rule that is learned after the selector",
    )
    tuning: Tuning = Tuning()
    losses: Losses = Losses()
    steps: int = Field(ge=0, description="of the shared parts and the reader")
    batch: int = Field(8, ge=1, description="rows of a step")
    learning_rate: float = Field(1e-3, gt=0, description="of the shared parts")
    warmup: int = Field(20, ge=0, description="steps in which the rate rises; then it falls to 0")
    memories: tuple[int, ...] = Field(
        (1, 3, 5), min_length=1, description="how many memories rows have, drawn for each step"
    )
    alone: int = Field(
        0, ge=0, description="first steps in which every row has one gold memory and no other"
    )
    no_memory: float = Field(0.15, ge=0, le=0.5, description="share of rows without any memory")
    unforced: float = Field(
        0.1, ge=0, le=0.5, description="share of rows in which gold is not put among the memories"
    )
    longest: int = Field(128, ge=8, description="tokens of a document that is reconstructed")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of the frozen weights; auto takes the faster, measured"
    )
    stored: Literal["float32", "bfloat16"] = later(
        "float32", description="how the shared parts are written"
    )
    seed: int = Field(0, ge=0)
    checkpoint_every: int = Field(50, ge=1, description="steps between checkpoints")
    validate_every: int = Field(100, ge=1, description="steps between validations")
    validation_questions: int = Field(96, ge=0)


def read_recipe(name: str) -> Recipe:
    """A shipped recipe by name, or a YAML file. Errors name the file, the key and the fix."""
    return read(Recipe, name, RECIPES)
