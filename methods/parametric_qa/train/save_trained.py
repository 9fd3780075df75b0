"""The swap of newly trained shared parts for earlier ones: whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.trained_on import TRAINED_ON, write_record
from harness.errors import InputError
from harness.files import writing
from harness.llm.weights import model_fingerprint
from methods.parametric_qa.shared.bundle import BASE, CONTENTS
from methods.parametric_qa.shared.parts import ADAPTER_FOLDER
from methods.parametric_qa.train.lower_rank import lower_rank
from methods.parametric_qa.train.tuning import MODEL_FOLDER, save_tuned

if TYPE_CHECKING:
    from harness.data.trained_on import TrainedOn
    from harness.llm.local import LocalModel
    from methods.parametric_qa.shared.bundle import Bundle
    from methods.parametric_qa.train.recipe import Recipe
    from methods.parametric_qa.train.start import Start
    from methods.parametric_qa.train.training_data import TrainingTask

FRESH = ".fresh"
# The configuration goes first and comes last.
FILES = (*CONTENTS, MODEL_FOLDER, TRAINED_ON)


def save_trained(
    llm: LocalModel,
    model: Any,
    recipe: Recipe,
    bundle: Bundle,
    start: Start | None,
    tasks: Iterable[TrainingTask],
    out: Path,
    account: dict[str, Any],
    before: Iterable[TrainedOn],
) -> None:
    """Write shared parts and what was tuned of the model beside earlier ones, then swap them.

    An encoder to shipped parts is written alone and names them. What they were trained on is noted
    beside them, and what the model was ``before``. Raises
    InputError if there is no room; then the earlier ones are as they were.
    """
    from safetensors import SafetensorError

    fresh, mode = out / FRESH, recipe.tuning.mode
    base = start.base if start else None
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        with writing(out):
            fresh.mkdir()
            if mode == "full":
                _rename_model(bundle, model)
                _tokenizer(llm).save_pretrained(fresh / MODEL_FOLDER)
            save_tuned(model, mode, fresh, llm.name)
            if mode == "lora" and recipe.tuning.stored_rank:
                lower_rank(fresh / ADAPTER_FOLDER, recipe.tuning.stored_rank)
            if base is None and start and start.kept:
                shutil.copytree(start.kept, fresh / ADAPTER_FOLDER)
        bundle.save(
            fresh,
            account if base is None else {BASE: base, **account},
            half=recipe.stored == "bfloat16",
        )
        write_record(fresh, {task.name: task.questions for task in tasks}, before)
    except SafetensorError as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{out}: cannot write there ({reason}); free space, train again"
        ) from error
    with writing(out):
        for name in FILES:
            _remove(out / name)
        for name in reversed(FILES):
            if (fresh / name).exists():
                os.replace(fresh / name, out / name)  # noqa: PTH105
        fresh.rmdir()


def _tokenizer(llm: LocalModel) -> Any:
    """Without a chat template if the model learned completions: that says how it is prompted."""
    if llm.prompt_style == "chat":
        return llm.tokenizer
    tokenizer = deepcopy(llm.tokenizer)
    tokenizer.chat_template = None
    return tokenizer


def _rename_model(bundle: Bundle, model: Any) -> None:
    """The parts are for the model as it is after training."""
    config = bundle.parts.config.model_copy(update={"model_fingerprint": model_fingerprint(model)})
    for module in (bundle.parts, bundle.encoder):
        if module is not None:
            module.config = config


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
