"""Task descriptions: what a chain's prompts say of the questions, by the task that asks them."""

from __future__ import annotations

from collections.abc import Mapping

from harness.data.card import TaskCard
from harness.errors import ConfigError

ANY = "any"


def task_description(
    given: str | Mapping[str, str] | None, known: Mapping[str, str], task: TaskCard | None
) -> str:
    """The description for a task: as given, else as its prompts have it.

    Of a mapping, the task's name counts first, then 'single-hop' or 'multi-hop' as its card says,
    then 'any'. Raises ConfigError if there is none.
    """
    if isinstance(given, str):
        return given
    name = task.name if task else "this task"
    kind = f"{task.hops}-hop" if task and task.hops else ANY
    for described in (given or {}, known):
        for key in (name, kind, ANY):
            if key in described:
                return described[key]
    raise ConfigError(
        f"task '{name}': the prompts describe {' and '.join(sorted(known)) or 'no'} tasks alone; "
        f"say what it asks for, such as the paper's table 10: -p task_description=TEXT, or by task "
        f"-p 'task_description={{{name}: TEXT}}'"
    )
