"""Settings of the model ``memory``: what ``--model_args`` say, checked before any loading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.boards.config import Board, parse_board
from harness.boards.method_entry import param_value
from harness.boards.run import plan_runs
from harness.boards.task_entry import TaskFiles, is_path, load_task_data
from harness.data.card import custom_task
from harness.data.corpus import Corpus
from harness.data.questions import (
    metadata_fingerprint,
    questions_fingerprint,
    read_questions,
)
from harness.data.task import TaskData
from harness.errors import ConfigError
from harness.files import cache_dir, expanded
from harness.fingerprint import fingerprint
from harness.llm.catalogue import DEFAULT_MODEL
from harness.method import MOST_SHOTS
from harness.records import Passage, Question
from harness.registry import load_plugin
from harness.runs.plan import RunPlan

WHERE = "--model_args"
OWN_DATA = "corpus"
ALL_AT_ONCE = 128
_KEYS = ("method", "llm", "task", "corpus", "train", "seed", "runs", "plugin")
_ANY_CORPUS = Corpus.from_passages([Passage("any", "any", "any")])
# As many as a method may want: with fewer, those who want more or fewer would look alike.
_ANY_TRAIN = tuple(Question(f"any{n}", f"any {n}", ("any",)) for n in range(MOST_SHOTS))
_NO_FILES = TaskFiles()
_LONGEST_LABEL = 120
"""Bytes; lm-eval doubles some in a folder's name, and loses results whose name is too long."""
_OF_OTHER_MODELS = ("pretrained", "peft", "path", "engine")


@dataclass(frozen=True, slots=True)
class Settings:
    """A method with its parameters, a language model, a seed, and the data they are given."""

    board: Board
    task: str | None
    """The task whose corpus and demonstrations are used; None: the one that is asked."""
    files: TaskFiles
    runs: Path | None = None
    """Where memories lie, as below a folder of runs; None: in the user's cache."""
    window: int = 1
    """How many questions are asked at once."""
    device: str | None = None

    @property
    def place(self) -> Path:
        """The folder below which memories lie."""
        return self.runs or cache_dir("lm-eval")

    @property
    def label(self) -> str:
        """Method, parameters that were given and language model, as a folder is named."""
        entry, model = self.board.methods[0], self.board.models[0]
        params = [f"{key}={value}" for key, value in entry.params.items()]
        llm = model if isinstance(model, str) else str(model.get("name"))
        label = ",".join([entry.name, *params, llm])
        if len(label.encode()) <= _LONGEST_LABEL:
            return label
        cut = label.encode()[: _LONGEST_LABEL - 13].decode(errors="ignore")
        return f"{cut},{fingerprint(label)[:12]}"

    @property
    def names_data(self) -> bool:
        """Whether it names a corpus of its own."""
        return self.task is not None or self.files.corpus is not None

    def data(self) -> TaskData:
        """The corpus and train questions that it names, with no question that matters."""
        if self.task is None:
            return _own_data(self.files, _states(self.files))
        return task_data(self.task, self.files)

    def plan(self, data: TaskData) -> RunPlan:
        """The run that ``memory-harness run`` would make of these questions."""
        return next(plan_runs(self.board, self.device, [data]))

    def plan_of_nothing(self) -> RunPlan:
        """A run as far as it is known without its questions and the data that they bring."""
        # Beyond ASCII, so that what a retriever makes of such text counts, too.
        asked = Question("any", "é", ())
        train = read_questions(self.files.train) if self.files.train else _ANY_TRAIN
        data = self.data() if self.names_data else _without_questions(_ANY_CORPUS, train)
        return self.plan(replace(data, questions=(asked,)))

    def fingerprint(self) -> str:
        """SHA-256 over all that decides an answer beside the question and its task's own data."""
        config = self.plan_of_nothing().config
        return fingerprint([fingerprint(config.without_questions())[:12], self.names_data])


def parse_settings(
    values: Mapping[str, Any],
    batch_size: int | str | None = None,
    max_batch_size: int | str | None = None,
    device: str | None = None,
) -> Settings:
    """What the model was given; ``llm`` is the default model where it is not named.

    Raises ConfigError naming the key and the fix.
    """
    given = dict(values)
    if wrong := [key for key in _OF_OTHER_MODELS if key in given]:
        raise ConfigError(f"{WHERE}: '{wrong[0]}' is not a key of memory's; name the model as llm=")
    label = given.pop("model", None)
    own = {key: given.pop(key) for key in _KEYS if given.get(key) is not None}
    if "plugin" in own:
        load_plugin(str(own["plugin"]))
    if "method" not in own:
        raise ConfigError(f"{WHERE}: name a method, such as method=bm25 ('list methods' has all)")
    if "questions" in given:
        raise ConfigError(f"{WHERE}: the questions are those of --tasks; leave out 'questions'")
    method = {"name": str(own["method"]), "params": {k: _value(v) for k, v in given.items()}}
    board = {
        "name": "lm-eval",
        "tasks": [str(own.get("task", OWN_DATA))],
        "methods": [method],
        "models": [own.get("llm", DEFAULT_MODEL)],
        "seeds": [own.get("seed", 0)],
    }
    settings = Settings(
        parse_board(board, WHERE),
        str(own["task"]) if "task" in own else None,
        TaskFiles.model_validate({k: own[k] for k in ("corpus", "train") if k in own}),
        expanded(own["runs"]) if "runs" in own else None,
        _window(batch_size, max_batch_size),
        device,
    )
    if label not in (None, settings.label):
        raise ConfigError(f"{WHERE}: 'model' is not a key of memory's; name the model as llm=")
    return settings


def task_data(source: str, files: TaskFiles = _NO_FILES) -> TaskData:
    """A task's shipped sample, read once for a task and its model. Raises InputError."""
    place = expanded(source) if is_path(source) else None
    folder = place.parent if place is not None and place.is_file() else place
    return _task_data(source, files, _states(files, folder))


def _states(files: TaskFiles, folder: Path | None = None) -> tuple[tuple[Path, int, int], ...]:
    """Place, size and time of files: a notebook's user may change them and evaluate again."""
    given = [path for path in (files.corpus, files.train) if path is not None]
    if folder is not None:
        given += sorted([*folder.glob("*"), *folder.glob("sample/*")])
    found = [(path.absolute(), path.stat()) for path in given if path.exists()]
    return tuple((path, state.st_size, state.st_mtime_ns) for path, state in found)


@lru_cache(maxsize=8)
def _task_data(source: str, files: TaskFiles, _: object) -> TaskData:
    return load_task_data(source, "sample", None, files)


@lru_cache(maxsize=2)
def _own_data(files: TaskFiles, _: object) -> TaskData:
    """A corpus, and train questions if they are given, without a task."""
    assert files.corpus is not None
    train = read_questions(files.train) if files.train else ()
    corpus = Corpus.open(files.corpus)
    return _without_questions(corpus, train)


def _without_questions(corpus: Corpus, train: tuple[Question, ...] = ()) -> TaskData:
    return TaskData(
        name=OWN_DATA,
        split="custom",
        questions=(),
        train=train,
        corpus=corpus,
        questions_fingerprint=questions_fingerprint(()),
        train_fingerprint=questions_fingerprint(train),
        train_metadata=metadata_fingerprint(train),
        corpus_fingerprint=corpus.fingerprint,
        card=custom_task(OWN_DATA).card,
        provenance={"source": "files"},
    )


def _value(value: Any) -> Any:
    """A parameter as ``run -p`` reads it; lm-eval leaves more of them texts."""
    import yaml

    if not isinstance(value, str):
        return value
    try:
        return param_value(value)
    except yaml.YAMLError:
        return value


def _window(batch_size: int | str | None, most: int | str | None) -> int:
    text = str(batch_size or "auto")
    if text.partition(":")[0] == "auto":
        return int(most or ALL_AT_ONCE)
    if not text.isdecimal() or text == "0":
        raise ConfigError(f"--batch_size {text}: expected a number of questions, or auto")
    return int(text)
