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
from dataclasses import fields
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from unittest import mock

from harness.boards.task_entry import open_task
from harness.errors import ConfigError, did_you_mean
from harness.files import cache_dir
from harness.registry import HOUSE, names

if TYPE_CHECKING:
    from lm_eval._cli import HarnessCLI

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
    from lm_eval.__main__ import setup_logging
    from lm_eval._cli import HarnessCLI

    with ExitStack() as held:
        held.enter_context(mock.patch.object(sys, "argv", ["lm-eval", *arguments]))
        command = HarnessCLI()
        asked = command.parse_args()
        setup_logging()
        if hasattr(asked, "model_args"):  # a run, not a list of tasks
            _prepare(asked, held)
        # Names of tasks in a --config file, and what is listed.
        if hasattr(asked, "include_path") and asked.include_path is None:
            asked.include_path = str(YAML)
        _execute(command, asked)


def _execute(command: HarnessCLI, asked: Namespace) -> None:
    """What lm-eval does, and a name that it does not know in one line."""
    from lm_eval.api.registry import model_registry

    try:
        command.execute(asked)
    except ValueError as error:
        if str(error).startswith("Tasks not found: "):
            missing = str(error).partition(": ")[2]
            raise ConfigError(
                f"--tasks: lm-eval has not {missing}; 'memory-harness lm-eval ls tasks' lists all"
            ) from error
        if not str(error).startswith("Attempted to load model "):
            raise
        known = list(model_registry.keys())
        raise ConfigError(
            f"--model: unknown model '{asked.model}'{did_you_mean(asked.model, known)}"
        ) from error


def _prepare(asked: Namespace, held: ExitStack) -> None:
    # Before lm-eval reads it, once; else it writes beside its own code.
    os.environ.setdefault("LM_HARNESS_CACHE_PATH", str(cache_dir("lm-eval", "requests")))
    if asked.config:
        _add(asked.config, asked)
    import harness.lm_eval_plugin.registration as registered

    if asked.model == registered.MODEL:
        _check(asked)
    if not asked.tasks:
        raise ConfigError("--tasks: name one or several, such as memory_nq")
    folder = Path(held.enter_context(TemporaryDirectory(prefix="memory-harness-")))
    asked.tasks = _files(asked, folder)
    if all(task.endswith(".yaml") for task in asked.tasks):
        held.enter_context(_without_index())
    held.enter_context(_quiet())


def _add(file: str, asked: Namespace) -> None:
    """What a --config file says where the command line does not, as lm-eval merges the two."""
    from lm_eval.config.evaluate_config import EvaluatorConfig

    try:
        said = EvaluatorConfig.load_yaml_config(file)
    except (OSError, TypeError, ValueError) as error:
        raise ConfigError(f"--config: {' '.join(str(error).split())}") from error
    known = [field.name for field in fields(EvaluatorConfig)]
    for name, value in said.items():
        if name not in known:
            raise ConfigError(f"{file}: unknown key '{name}'{did_you_mean(str(name), known)}")
        if getattr(asked, name, None) in (None, [], {}):
            setattr(asked, name, value)


def _files(asked: Namespace, folder: Path) -> list[str]:
    """What is asked, the harness's own tasks as files of lm-eval's in ``folder``."""
    given = asked.tasks if isinstance(asked.tasks, list) else [asked.tasks]
    tasks = [task for text in given for each in str(text).split(",") for task in _named(each)]
    return [_own(task, folder, asked.include_path) or task for task in tasks]


def _check(asked: Namespace) -> None:
    """Refuse what has no meaning for a method, and hand on what lm-eval does not."""
    for name, instead in _DECIDED.items():
        if getattr(asked, name, None):
            raise ConfigError(f"--{name}: {instead}; leave it out with --model memory")
    from lm_eval.utils import simple_parse_args_string

    given = asked.model_args or {}
    asked.model_args = dict(simple_parse_args_string(given) if isinstance(given, str) else given)
    seed = asked.seed[0] if isinstance(asked.seed, list) and asked.seed else asked.seed
    if seed is not None:
        asked.model_args.setdefault("seed", seed)


def _named(task: str) -> list[str]:
    """The tasks of the harness that a pattern names, as lm-eval's own are named; else itself."""
    from harness.lm_eval_plugin.tasks import PREFIX

    known = [PREFIX + name for name in names("tasks")]
    return fnmatch.filter(known, task) or ([task] if task else [])


def _own(task: str, folder: Path, others: str | None) -> str | None:
    """A file of lm-eval's for a task of the harness, by ``memory_`` and its name or by its folder.

    None of any other. Raises ConfigError with a suggestion for an unknown name, unless it may be
    one of ``others``.
    """
    from harness.lm_eval_plugin.tasks import PREFIX

    source = task.removeprefix(PREFIX)
    if "/" in task and (Path(task) / "task.yaml").is_file():
        source = str(Path(task).absolute())
    elif not task.startswith(PREFIX) or task.endswith(".yaml"):
        return None
    elif source not in names("tasks"):
        if others is not None:
            return None
        known = [PREFIX + name for name in names("tasks")]
        raise ConfigError(f"unknown task '{task}'{did_you_mean(task, known)}")
    name = PREFIX + open_task(source, own=False).name
    file = folder / f"{name}.yaml"
    # JSON is YAML, whatever stands in a path.
    text = _TASK.format(name=name, source=json.dumps(source))
    if file.exists() and file.read_text(encoding="utf-8") != text:
        raise ConfigError(
            f"--tasks: two of them are named '{name}'; change the name in the task.yaml of one"
        )
    file.write_text(text, encoding="utf-8")
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
