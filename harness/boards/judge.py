"""The judge of a board: a model of the catalogue that says of each answer whether it is right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.llm.catalogue import resolve_model
from harness.llm.identity import identity
from harness.progress import say
from harness.runs.judge_prompt import JudgePrompt
from harness.runs.judge_record import Judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console


def check_judge(model: str | dict[str, Any], prompt: Path | None) -> None:
    """Raise HarnessError for a model or a prompt that there is not; nothing is loaded."""
    identity(resolve_model(model))
    JudgePrompt.read(prompt)


def run_judge(
    folders: Sequence[Path],
    model: str | dict[str, Any],
    prompt: Path | None,
    console: Console,
    *,
    replace: bool = False,
    batch_size: int | None = None,
    device: str | None = None,
) -> int:
    """Judge the runs in these folders; how many answers were left without a verdict.

    The model is not loaded where nothing is left to be judged. Raises HarnessError.
    """
    from harness.llm.open import open_model
    from harness.meters.hardware import default_device, set_torch_threads
    from harness.runs.judging import is_judged, judge_runs

    asked = JudgePrompt.read(prompt)
    config = resolve_model(model).on(device or default_device())
    settings = identity(config)
    judge = Judge(model=config.name, settings=settings, prompt_sha256=asked.sha256)
    if all(is_judged(folder, judge) for folder in folders):
        say(console, f"judged before by {judge.text}")
        return 0
    set_torch_threads()
    say(console, f"loading the judge {config.name}")
    llm = open_model(config, batch_size=batch_size, device=device)
    try:
        return judge_runs(list(folders), llm, judge, asked, console, replace=replace)
    finally:
        llm.close()
