"""Shots of a run: as many demonstrations as there are to show, where nobody chose a number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import ValidationError

from harness.data.demonstrations import qa_prompts
from harness.method import Method, MethodParams

if TYPE_CHECKING:
    from harness.data.task import TaskData


def fit_shots(params: MethodParams, data: TaskData) -> MethodParams:
    """The parameters with no more shots than the task has train questions.

    A number that was chosen stays: if it is too large, the run is refused (``check_shots``).
    """
    most = len(data.train)
    if "shots" in params.model_fields_set or params.shots <= most:
        return params
    try:
        return type(params).model_validate({**params.model_dump(exclude_unset=True), "shots": most})
    except ValidationError:  # a method that takes no less
        return params


def about_shots(
    name: str, method: Method, asked: MethodParams, data: TaskData, seed: int
) -> Iterator[str]:
    """What to know of the demonstrations of a run, each the end of a sentence; mostly nothing.

    ``asked`` are the parameters before ``fit_shots``.
    """
    shots, there = method.params.shots, len(data.train)
    if shots < asked.shots:
        yield (
            f"{there or 'no'} train question{'' if there == 1 else 's'} to show, so "
            f"shots={shots} in place of {asked.shots}"
        )
    if shots > there or type(method).remark is Method.remark:
        return
    if remark := method.remark(qa_prompts(data, shots, seed).examples):
        yield f"{name}: {remark}"
