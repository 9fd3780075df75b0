"""lm-eval's command line as ``memory-harness lm-eval`` runs it: what it lacks is put right here."""

from __future__ import annotations

import fnmatch
import json
import logging
import os
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from harness.boards.task_entry import open_task
from harness.errors import ConfigError, did_you_mean
from harness.files import cache_dir
from harness.registry import HOUSE, names

YAML = HOUSE / "tasks" / "lm_eval"
_TASK = """\
task: {name}
class: !function harness.lm_eval_plugin.tasks.MemoryTask
dataset_path: {source}
"""
_DECIDED = {
    "num_fewshot": "a method's demonstrations are shots=N in --model_args",
    "system_instruction": "a method makes its own prompts",
    "apply_chat_template": "the prompts are in the style of the language model already",
    "fewshot_as_multiturn": "a method makes its own prompts",
    "gen_kwargs": "a method decides how it generates",
}


def run(arguments: Sequence[str]) -> None:
    """What ``lm_eval`` does with these arguments; its own errors are raised as they are."""
    # Before lm-eval is imported, which reads it once; else it writes beside its own code.
    os.environ.setdefault("LM_HARNESS_CACHE_PATH", str(cache_dir("lm-eval", "requests")))
    from lm_eval.__main__ import setup_logging
    from lm_eval._cli import HarnessCLI

    setup_logging()
    with ExitStack() as held:
        held.enter_context(mock.patch.object(sys, "argv", ["lm-eval", *arguments]))
        command = HarnessCLI()
        asked = command.parse_args()
        if hasattr(asked, "include_path") and asked.include_path is None:
            asked.include_path = str(YAML)
        if getattr(asked, "tasks", None) and hasattr(asked, "model_args"):
            _prepare(asked, held)
        command.execute(asked)


def _prepare(asked: Namespace, held: ExitStack) -> None:
    import harness.lm_eval_plugin.registration as registered

    if asked.model == registered.MODEL:
        _check(asked)
    given = asked.tasks if isinstance(asked.tasks, list) else [asked.tasks]
    tasks = [task for text in given for each in str(text).split(",") for task in _named(each)]
    folder = Path(held.enter_context(TemporaryDirectory(prefix="memory-harness-")))
    asked.tasks = [_own(task, folder) or task for task in tasks]
    if all(task.endswith(".yaml") for task in asked.tasks):
        held.enter_context(_without_index())
    held.enter_context(_quiet())


def _check(asked: Namespace) -> None:
    """Refuse what has no meaning for a method, and hand on what lm-eval does not."""
    for name, instead in _DECIDED.items():
        if getattr(asked, name, None):
            raise ConfigError(f"--{name}: {instead}; leave it out with --model memory")
    asked.model_args = dict(asked.model_args or {})
    if asked.seed and asked.seed[0] is not None:
        asked.model_args.setdefault("seed", asked.seed[0])


def _named(task: str) -> list[str]:
    """The tasks of the harness that a pattern names, as lm-eval's own are named; else itself."""
    from harness.lm_eval_plugin.tasks import PREFIX

    known = [PREFIX + name for name in names("tasks")]
    return fnmatch.filter(known, task) or ([task] if task else [])


def _own(task: str, folder: Path) -> str | None:
    """A file of lm-eval's for a task of the harness, by ``memory_`` and its name or by its folder.

    None of any other. Raises ConfigError with a suggestion for an unknown name.
    """
    from harness.lm_eval_plugin.tasks import PREFIX

    source = task.removeprefix(PREFIX)
    if "/" in task and (Path(task) / "task.yaml").is_file():
        source = str(Path(task).absolute())
    elif not task.startswith(PREFIX) or task.endswith(".yaml"):
        return None
    elif source not in names("tasks"):
        known = [PREFIX + name for name in names("tasks")]
        raise ConfigError(f"unknown task '{task}'{did_you_mean(task, known)}")
    name = PREFIX + open_task(source, own=False).name
    file = folder / f"{name}.yaml"
    # JSON is YAML, whatever stands in a path.
    file.write_text(_TASK.format(name=name, source=json.dumps(source)), encoding="utf-8")
    return str(file)


@contextmanager
def _without_index() -> Iterator[None]:
    """Spare lm-eval the seconds in which it reads the thousands of its own tasks' files."""
    import lm_eval.tasks

    quick = partial(lm_eval.tasks.TaskManager, include_defaults=False)
    with mock.patch.object(lm_eval.tasks, "TaskManager", quick):
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Git's complaint outside a checkout, and advice that a method's prompts have no use for."""
    import lm_eval.evaluator as evaluator

    from harness.runs.provenance import git_commit

    log = logging.getLogger(evaluator.__name__)

    def useful(record: logging.LogRecord) -> bool:
        return "chat template is not applied" not in " ".join(record.getMessage().split())

    log.addFilter(useful)
    try:
        with mock.patch.object(evaluator, "get_git_commit_hash", git_commit):
            yield
    finally:
        log.removeFilter(useful)
