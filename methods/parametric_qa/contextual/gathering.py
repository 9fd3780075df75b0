"""The gathering of a recipe's data into a pool file, with the record of its questions beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.trained_on import write_record
from harness.errors import ConfigError
from methods.parametric_qa.contextual.gather import Gathered, account, gather, hard_negatives
from methods.parametric_qa.contextual.pool import build
from methods.parametric_qa.contextual.recipe import Recipe, read_recipe

if TYPE_CHECKING:
    from harness.llm.local import LocalModel


def gather_pool(name: str, rows: Path | None, out: Path) -> int:
    """Write ``out`` and ``trained_on.json`` beside it for a recipe; the file's size in bytes.

    Raises ConfigError for a model that is no local one or that is asked in a chat.
    """
    from harness.boards.learnt import learnt_by
    from harness.boards.task_entry import TaskSource
    from harness.llm.catalogue import resolve_model
    from harness.llm.local import LocalModel
    from harness.llm.open import open_model
    from methods.parametric_qa.train.training_data import read_training_tasks

    recipe = read_recipe(name)
    llm = open_model(resolve_model(recipe.model), device="cpu")
    if not isinstance(llm, LocalModel) or llm.prompt_style != "completion":
        raise ConfigError(f"recipe '{recipe.name}': needs a local model of completions")
    sources = [TaskSource(name=task) for task in recipe.tasks]
    evaluated = {source.name: source.load() for source in sources}
    found = gather(
        read_training_tasks(sources),
        {name: (data.questions, data.corpus) for name, data in evaluated.items()},
        rows,
        recipe.sources,
    )
    corpora = {name: data.corpus_fingerprint for name, data in evaluated.items()}
    meta = account(found, rows, recipe.sources, corpora)
    before = learnt_by(resolve_model(recipe.model))
    return write_pool(recipe, found, hard_negatives(found), llm, meta, out, before)


def write_pool(
    recipe: Recipe,
    found: Gathered,
    hard: list[list[int]],
    llm: LocalModel,
    meta: dict[str, Any],
    out: Path,
    before: Any = (),
) -> int:
    """Tokenise and write; the file's size in bytes."""
    from methods.parametric_qa.shared.parts import SharedParts

    shape = SharedParts.from_model(llm, recipe.slots, recipe.z_dim).config
    meta = {**meta, "shape": shape.model_dump(), "prompt_style": llm.prompt_style}
    build(found, hard, llm, recipe.longest, meta).save(out)
    asked: dict[str, list[Any]] = {}
    for row in found.rows:
        asked.setdefault(row.source, []).append(row)
    write_record(out.parent, asked, before)
    return out.stat().st_size
