"""A toy task with facts to learn, and trainings of the tiny model on it."""

from __future__ import annotations

from harness.data.corpus import Corpus
from harness.records import Passage, Question
from methods.parametric_qa.train import training
from methods.parametric_qa.train.curves import read_curves
from methods.parametric_qa.train.recipe import Recipe, SelectorTraining
from methods.parametric_qa.train.training_data import TrainingTask, training_task
from tests.methods.parametric_qa.lab import load_tiny, quiet

FACTS = [
    ("Hamlet", "William Shakespeare wrote Hamlet around the year 1600.", "Who wrote Hamlet?"),
    ("Paris", "Paris is the capital of France, on the river Seine.", "What is the capital?"),
    ("Curie", "Marie Curie discovered polonium and radium.", "Who discovered radium?"),
    ("Telephone", "The telephone was invented by Alexander Graham Bell.", "Who invented it?"),
]
ANSWERS = ("William Shakespeare", "Paris", "Marie Curie", "Alexander Graham Bell")


def toy_task() -> TrainingTask:
    corpus = Corpus.from_passages(
        [Passage(f"d{n}", *FACTS[n % 4][:2]) for n in range(4)]
        + [Passage(f"x{n}", f"Nile {n}", "The Nile or the Amazon, yes or no.") for n in range(8)]
    )
    # Ids that fall on both sides of the split between training and validation.
    train = [
        Question(f"q{n}", FACTS[n % 4][2], (ANSWERS[n % 4],), (f"d{n % 4}",)) for n in range(4)
    ]
    return training_task("toy", corpus, [], train)


def recipe(**changes):
    values = {
        "name": "tiny",
        "model": "tiny",
        "tasks": ("toy",),
        "slots": 4,
        "z_dim": 64,
        "steps": 6,
        "batch": 4,
        "memories": (1, 2),
        "dtype": "float32",
        "checkpoint_every": 3,
        "validate_every": 3,
        "selection": SelectorTraining(steps=3, batch=4, random=4),
    }
    return Recipe(**{**values, **changes})


def run(tiny_model_dir, task, out, **changes):
    llm = load_tiny(tiny_model_dir)
    training.train(recipe(**changes), llm, [task], out, quiet())
    return llm


def losses(out, kind="answer"):
    return [
        value for _, name, value, _ in read_curves(out / "curves.csv") if name == f"loss {kind}"
    ]
