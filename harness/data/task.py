"""Tasks: the questions of one split, the corpus they are asked over, and their card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.data.corpus import Corpus
from harness.data.questions import check_disjoint, check_gold, questions_fingerprint, read_questions
from harness.data.splits import Kind, find_source
from harness.data.subpool import sub_pool
from harness.errors import InputError, did_you_mean
from harness.files import check_slug
from harness.records import Question


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HubSource(_Frozen):
    """Where the full dataset lives on the Hugging Face hub."""

    repo: str
    folder: str
    revision: str | None = None
    """Commit, tag or branch; None resolves the default branch now and records the commit."""
    splits: dict[str, str]
    """Split name -> file name inside ``folder``."""
    corpus: str | None = None
    """Path of the corpus inside the repository."""


class Citation(_Frozen):
    """A paper to cite when using the task."""

    key: str
    text: str


class TaskCard(_Frozen):
    """What a reader of a board needs to know about a task: the content of ``task.yaml``."""

    name: str
    title: str
    version: int = Field(1, ge=1)
    """Raised whenever shipped data changes, so that scores of two versions never mix."""
    metrics: tuple[str, ...] = ()
    multi_hop: bool = False
    licence: str = ""
    homepage: str = ""
    citations: tuple[Citation, ...] = ()
    sources: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    hub: HubSource | None = None
    checksums: dict[str, str] = Field(default_factory=dict)
    """Path below the task's folder -> SHA-256 of the shipped file."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task by its card; ``folder`` holds the shipped sample, None for a custom task."""

    card: TaskCard
    folder: Path | None = None

    @property
    def name(self) -> str:
        """The name used on the command line, in boards and in tables."""
        return self.card.name

    @classmethod
    def from_folder(cls, path: str | Path) -> Task:
        """Read ``task.yaml`` in a folder. Raises InputError naming the key and the fix."""
        import yaml

        file = Path(path) / "task.yaml"
        try:
            values = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{file}: cannot be read ({error}); expected a task card") from error
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{file}: not valid YAML ({reason})") from error
        if not isinstance(values, dict):
            raise InputError(f"{file}: is not a mapping; expected keys such as 'name' and 'title'")
        return cls(_parse_card(file, values), Path(path))


@dataclass(frozen=True, slots=True)
class TaskData:
    """One split, loaded and validated.

    ``questions`` and ``train`` share no question. ``questions_fingerprint`` covers the questions
    after ``limit``; no fingerprint depends on paths or metadata. ``provenance`` says where the
    files came from: ``source`` (shipped, folder, hub or files), ``questions``, ``train`` and
    ``corpus`` (paths, as far as read), and for the hub ``repo`` and the resolved ``revision``.
    """

    name: str
    split: str
    questions: tuple[Question, ...]
    train: tuple[Question, ...]
    corpus: Corpus
    questions_fingerprint: str
    train_fingerprint: str
    corpus_fingerprint: str
    card: TaskCard
    provenance: Mapping[str, str]
    limit: int | None = None
    whole: Corpus | None = None
    """The corpus of which ``corpus`` is a sub-pool; it also holds what train questions need."""


@dataclass(frozen=True, slots=True)
class _Files:
    questions: Path
    train: Path | None
    corpus: Path
    provenance: Mapping[str, str]


def custom_task(name: str) -> Task:
    """A task outside the table, for a user's own files. Raises InputError for an unsafe name."""
    check_slug(name, "task")
    return Task(TaskCard(name=name, title=name, metrics=("em", "f1", "contains")))


def load_task(
    task: Task,
    *,
    split: str = "sample",
    data_dir: str | Path | None = None,
    questions: str | Path | None = None,
    train: str | Path | None = None,
    corpus: str | Path | None = None,
    limit: int | None = None,
    documents: int | None = None,
    revision: str | None = None,
    verify: bool = True,
) -> TaskData:
    """Load and validate the questions, demonstrations and corpus of one split.

    ``sample`` is the data shipped with the task. Any other split is the full dataset: from
    ``data_dir`` (``<data_dir>/<folder>/<split>.jsonl``; ``corpus.jsonl`` in either folder), else
    from the hub at ``revision``. ``questions`` replaces the split by a file, called ``custom``,
    that takes nothing from the shipped sample; ``train`` and ``corpus`` replace only those files.

    ``limit`` keeps the questions whose ids have the smallest SHA-256, in file order: a fixed random
    sample, and a larger limit contains a smaller one. The whole file is validated all the same.
    ``documents`` cuts the corpus to a sub-pool with the gold of the kept questions (``sub_pool``).
    ``verify`` compares shipped files with the card's checksums,
    once a file and process. Raises InputError; nothing is written.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit is {limit}; expected a number of questions, 1 or more")
    given: dict[Kind, str | Path | None] = {"train": train, "corpus": corpus}
    if questions is None:
        files = _split_files(task, split, given, data_dir, revision, verify=verify)
    else:
        files = _custom_files(Path(questions), split, given, data_dir, revision)
    return _read(task, "custom" if questions else split, files, limit, documents)


def _split_files(
    task: Task,
    split: str,
    given: Mapping[Kind, str | Path | None],
    data_dir: str | Path | None,
    revision: str | None,
    *,
    verify: bool,
) -> _Files:
    if split == "custom":
        raise InputError("split 'custom' is your own file; give it with --questions FILE")
    folder = Path(data_dir) if data_dir is not None else None
    source = find_source(task, split, folder, revision, verify=verify)

    def find(kind: Kind) -> Path | None:
        path = given.get(kind)
        return Path(path) if path is not None else source.find(kind)

    # The corpus first: without one, nothing needs to be downloaded.
    corpus, questions, train = find("corpus"), find("questions"), find("train")
    if corpus is None or questions is None:
        missing = "corpus" if corpus is None else "questions"
        raise InputError(
            f"split '{split}' of task '{task.name}' has no {missing}; give one: --{missing} FILE"
        )
    return _Files(questions, train, corpus, source.provenance())


def _custom_files(
    questions: Path,
    split: str,
    given: Mapping[Kind, str | Path | None],
    data_dir: str | Path | None,
    revision: str | None,
) -> _Files:
    if data_dir is not None or revision is not None or split not in ("sample", "custom"):
        raise InputError(
            "a questions file replaces the split: leave out the split, data folder and revision"
        )
    train, corpus = given["train"], given["corpus"]
    if corpus is None:
        raise InputError(f"{questions}: needs the corpus it asks about; give it: --corpus FILE")
    shown = Path(train) if train is not None else None
    return _Files(questions, shown, Path(corpus), {"source": "files"})


def _read(
    task: Task, split: str, files: _Files, limit: int | None, documents: int | None
) -> TaskData:
    # Questions first: they are small, and a corpus may take minutes.
    asked = read_questions(files.questions)
    shown = read_questions(files.train) if files.train else ()
    if files.train:
        check_disjoint(files.train, shown, asked)
    whole = Corpus.open(files.corpus)
    check_gold(files.questions, asked, whole)
    if files.train:
        check_gold(files.train, shown, whole)
    paths = {"questions": files.questions, "train": files.train, "corpus": files.corpus}
    kept = _sample(asked, limit)
    pool = whole if documents is None else sub_pool(whole, kept, documents)
    return TaskData(
        name=task.name,
        split=split,
        questions=kept,
        train=shown,
        corpus=pool,
        questions_fingerprint=questions_fingerprint(kept),
        train_fingerprint=questions_fingerprint(shown),
        corpus_fingerprint=pool.fingerprint,
        card=task.card,
        provenance={**files.provenance, **{k: str(v) for k, v in paths.items() if v}},
        limit=limit,
        whole=whole,
    )


def _sample(questions: tuple[Question, ...], limit: int | None) -> tuple[Question, ...]:
    if limit is None or limit >= len(questions):
        return questions
    by_hash = sorted(questions, key=lambda question: sha256(question.id.encode()).digest())
    kept = {question.id for question in by_hash[:limit]}
    return tuple(question for question in questions if question.id in kept)


def _parse_card(file: Path, values: dict[str, Any]) -> TaskCard:
    try:
        card = TaskCard.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            models: dict[Any, type[BaseModel]] = {"hub": HubSource, "citations": Citation}
            model = TaskCard if len(first["loc"]) == 1 else models[first["loc"][0]]
            hint = did_you_mean(str(first["loc"][-1]), list(model.model_fields))
            raise InputError(f"{file}: unknown key '{where}'{hint}") from error
        raise InputError(f"{file}: '{where}': {first['msg']}; correct the card") from error
    check_slug(card.name, "task")
    return card
