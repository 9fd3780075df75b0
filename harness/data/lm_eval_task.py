"""lm-eval's tasks as questions of the harness: written once, in its own form, to the cache."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from inspect import getfile
from numbers import Number
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ConfigError, InputError, did_you_mean
from harness.files import atomic_file, cache_dir, expanded, read_json, to_slug, write_json
from harness.fingerprint import canonical_json, fingerprint, known_sha256

if TYPE_CHECKING:
    from lm_eval.api.task import Task

PREFIX = "lm-eval:"
_FORM = 1
"""Raised when documents become other questions than before."""
_MADE_OF = ("doc_to_text", "doc_to_target", "doc_to_choice", "use_prompt")
_IDS = ("id", "question_id", "_id")
_COMMIT = re.compile(r"@([0-9a-f]{40})/")


@dataclass(frozen=True, slots=True)
class LmEvalTask:
    """Questions and, if the task has training documents, train questions, as files."""

    name: str
    title: str
    split: str
    questions: Path
    train: Path | None
    provenance: Mapping[str, str]


def is_lm_eval(name: str) -> bool:
    """Whether a task's name is ``lm-eval:`` and a name of lm-eval's, or a path to its YAML file."""
    return name.startswith(PREFIX)


def lm_eval_name(name: str) -> str:
    """What folders and tables call it: ``lm-eval-nq_open``."""
    return f"lm-eval-{to_slug(Path(name.removeprefix(PREFIX)).name.removesuffix('.yaml'))}"


def lm_eval_task(name: str) -> LmEvalTask:
    """The documents that lm-eval evaluates as questions, its training documents as train questions.

    A question is a document's field ``question``, else what ``doc_to_text`` makes of it; its golden
    answers are what ``doc_to_target`` gives, of choices the text of the right one. The data come
    through lm-eval, from the hub if need be; a function that the task names is run, as lm-eval
    does. Raises ConfigError for a name that is no single task and InputError for one without
    questions and answers or with code of its data set's own.
    """
    asked = name.removeprefix(PREFIX)
    _quiet()
    file = _yaml_file(asked)
    _check(asked, file)
    task = _open(asked, file)
    split = str(task.config.test_split or task.config.validation_split)
    key = _key(task)
    folder = cache_dir("lm-eval-tasks") / f"{to_slug(asked)[-60:]}-{key[:16]}"
    if not (folder / "task.json").is_file():
        _write(task, asked, split, folder)
    about = read_json(folder / "task.json")
    train = folder / "train.jsonl"
    return LmEvalTask(
        name=lm_eval_name(name),
        title=f"lm-eval's {asked}, version {task.VERSION}",
        split=to_slug(split),
        questions=folder / "questions.jsonl",
        train=train if train.is_file() else None,
        provenance={"source": "lm-eval", "task": asked, **about},
    )


def _quiet() -> None:
    if not os.environ.get("LMEVAL_LOG_LEVEL"):
        logging.getLogger("lm_eval").setLevel(logging.ERROR)


def _yaml_file(asked: str) -> Path:
    if "/" in asked or asked.endswith((".yaml", ".yml")):
        file = expanded(asked)
        if not file.is_file():
            raise InputError(f"{file}: no such file; give the YAML file of an lm-eval task")
        return file
    import lm_eval.tasks

    # lm-eval reads every one of its 13,000 files to find one; most say their name in a line.
    line = re.compile(rb"^task:\s*[\"']?%s[\"']?\s*(?:#.*)?$" % re.escape(asked.encode()), re.M)
    files = sorted(Path(lm_eval.tasks.__file__).parent.rglob("*.yaml"), key=Path.as_posix)
    found = next((file for file in files if line.search(file.read_bytes())), None)
    return found or _indexed(asked)


def _indexed(asked: str) -> Path:
    from lm_eval.tasks import TaskManager

    manager = TaskManager()
    entry = manager.task_index.get(asked)
    if entry is None:
        hint = did_you_mean(asked, manager.all_subtasks)
        raise ConfigError(f"lm-eval has no task '{asked}'{hint}; 'lm_eval ls tasks' lists them")
    if entry.yaml_path is None:
        raise _group(asked, sorted(entry.tags))
    return Path(entry.yaml_path)


def _group(asked: str, members: Iterable[str]) -> ConfigError:
    return ConfigError(
        f"lm-eval's '{asked}' is several tasks: {', '.join(members)}; name one of them"
    )


def _check(asked: str, file: Path) -> None:
    """Refuse, before any data are loaded or code is run, what the file tells."""
    from lm_eval.tasks._yaml_loader import load_yaml

    try:
        config = load_yaml(file, resolve_func=False)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{file}: not the YAML file of an lm-eval task ({reason})") from error
    members = config.get("task")
    if "group" in config or isinstance(members, list):
        each = members if isinstance(members, list) else [members]
        named = [m.get("task") or m.get("group") if isinstance(m, dict) else m for m in each]
        raise _group(asked, map(str, named))
    reasons = {
        "its data set runs code of its own (trust_remote_code)": (
            config.get("dataset_kwargs") or {}
        ).get("trust_remote_code"),
        "it runs code that a model writes (unsafe_code)": config.get("unsafe_code"),
        "it measures the likelihood of whole texts": config.get("output_type")
        == "loglikelihood_rolling",
    }
    for reason, holds in reasons.items():
        if holds:
            raise InputError(f"lm-eval task '{asked}' cannot be asked here: {reason}")


def _open(asked: str, file: Path) -> Task:
    from lm_eval.tasks import TaskManager

    try:
        (task,) = TaskManager(include_defaults=False).load(str(file))["tasks"].values()
    # lm-eval and datasets raise many unrelated types; to the user all mean: no data.
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(
            f"lm-eval task '{asked}' cannot be loaded ({reason}); data of the hub are downloaded "
            "once, where there is a network"
        ) from error
    return task


def _train_docs(task: Task) -> Any:
    """Training documents, else the ones meant to be shown if they are not those that are asked."""
    config = task.config
    if task.has_training_docs():
        return task.training_docs()
    shown = config.fewshot_config
    asked = config.test_split or config.validation_split
    if shown is None or shown.split == asked or (shown.split is None and shown.samples is None):
        return []
    return task.fewshot_docs()


def _key(task: Task) -> str:
    """What decides the questions: the data, and how lm-eval reads them."""
    from datasets.fingerprint import Hasher

    made_of = {name: getattr(task.config, name) for name in _MADE_OF}
    code = known_sha256(Path(getfile(type(task))))
    data = [_data_key(task.eval_docs), _data_key(_train_docs(task))]
    return fingerprint([_FORM, version("lm_eval"), Hasher.hash(made_of), code, data])


def _data_key(docs: Any) -> str:
    from datasets.fingerprint import Hasher

    known = getattr(docs, "_fingerprint", None)
    return str(known if known is not None else Hasher.hash(list(docs)))


def _write(task: Task, asked: str, split: str, folder: Path) -> None:
    from rich.console import Console

    from harness.progress import bar

    docs, shown = task.eval_docs, _train_docs(task)
    with bar(Console(stderr=True), f"{PREFIX}{asked}", len(docs) + len(shown)) as progress:

        def rows(some: Iterable[Mapping[str, Any]], of: str) -> Iterator[dict[str, Any]]:
            for number, doc in enumerate(some):
                with _naming(f"lm-eval task '{asked}': document {number} of {of}"):
                    row = _row(task, doc)
                yield row
                progress.advance()

        questions = list(rows(docs, f"split '{split}'"))
        every = rows(shown, "those to be shown")
        train = [row for row in every if row["question"] and row["golden_answers"]]
    for number, row in enumerate(questions):
        lacking = [what for what in ("question", "golden_answers") if not row[what]]
        if lacking:
            raise InputError(
                f"lm-eval task '{asked}': document {number} of split '{split}' has no "
                f"{lacking[0].replace('golden_answers', 'answer')}; only tasks with a question and "
                "an answer can be asked here"
            )
    folder.mkdir(parents=True, exist_ok=True)
    _write_rows(folder / "questions.jsonl", questions, split)
    if train:
        _write_rows(folder / "train.jsonl", train, "train")
    # Last, so that the questions are complete wherever this file is.
    write_json(folder / "task.json", _about(task, docs, len(shown) - len(train)))


@contextmanager
def _naming(document: str) -> Iterator[None]:
    """Name the document with which the task's own templates and functions fail."""
    try:
        yield
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(
            f"{document} cannot be read by the task's own doc_to_text and doc_to_target ({reason})"
        ) from error


def _row(task: Task, doc: Mapping[str, Any]) -> dict[str, Any]:
    own = next((doc[key] for key in _IDS if isinstance(doc.get(key), str | int)), None)
    return {"id": own, "question": _question(task, doc), "golden_answers": _answers(task, doc)}


def _question(task: Task, doc: Mapping[str, Any]) -> str:
    own = doc.get("question")
    text = own if isinstance(own, str) and own.strip() else task.doc_to_text(doc)
    return text.strip() if isinstance(text, str) else ""


def _answers(task: Task, doc: Mapping[str, Any]) -> list[str]:
    target = task.doc_to_target(doc)
    found = list(target) if isinstance(target, list | tuple) else [target]
    if getattr(task.config, "doc_to_choice", None) is not None:
        choices = task.doc_to_choice(doc)
        found = [_choice(choices, each) for each in found]
    if not all(each is None or isinstance(each, str | Number) for each in found):
        return []
    texts = [str(each).strip() for each in found if each is not None]
    answer = doc.get("answer")
    known = answer if isinstance(answer, Mapping) else {}
    aliases = known.get("aliases")
    if isinstance(aliases, list) and any(text in [known.get("value"), *aliases] for text in texts):
        texts += [str(alias).strip() for alias in aliases]
    return [text for text in dict.fromkeys(texts) if text]


def _choice(choices: Sequence[Any], target: Any) -> Any:
    """The text of the right choice, named by its place or by itself; None if it is none of them."""
    if isinstance(target, int):
        return choices[target] if 0 <= target < len(choices) else None
    return target if target in choices else None


def _write_rows(path: Path, rows: Sequence[dict[str, Any]], split: str) -> None:
    ids = [str(row["id"]) for row in rows]
    own = len(set(ids)) == len(ids) and all(row["id"] is not None for row in rows)
    with atomic_file(path) as file:
        for number, row in enumerate(rows):
            named = {**row, "id": ids[number] if own else f"{split}-{number}"}
            file.write(canonical_json(named).encode() + b"\n")


def _about(task: Task, docs: Any, dropped: int) -> dict[str, str]:
    """Where the questions came from."""
    config, info = task.config, getattr(docs, "info", None)
    sources = (getattr(info, "download_checksums", None) or {}) if info else {}
    commits = {found[1] for source in sources if (found := _COMMIT.search(str(source)))}
    data = ", ".join(filter(None, [config.dataset_path, config.dataset_name]))
    about = {
        "lm_eval": version("lm_eval"),
        "task_version": str(task.VERSION),
        "dataset": data,
        "dataset_revision": ", ".join(sorted(commits)),
        "dataset_fingerprint": _data_key(docs),
        "train_dropped": f"{dropped:,} without a question or an answer" if dropped else "",
    }
    return {name: text for name, text in about.items() if text}
