"""A task's data: the questions of one split and the corpus they are asked over."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.data.card import Task, TaskCard
from harness.data.corpus import Corpus
from harness.data.leaks import part_asked, repeated
from harness.data.questions import (
    check_gold,
    metadata_fingerprint,
    questions_fingerprint,
    read_questions,
    where_asked,
)
from harness.data.splits import Kind, find_source, vouches
from harness.data.subpool import Hand, sub_pool
from harness.errors import InputError
from harness.fingerprint import sample_by_hash
from harness.records import Question

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TaskData:
    """One split, loaded and validated.

    ``questions`` and ``train`` share no question, by normalised text: a train question that is also
    asked is left out of ``train``. ``questions_fingerprint`` covers the questions
    after ``limit``; neither it nor ``train_fingerprint`` depends on metadata. ``provenance`` says
    where the files came from: ``source`` (shipped, folder, hub or files), ``questions``, ``train``
    and ``corpus`` (paths, as far as read), for the hub ``repo`` and the resolved ``revision``;
    ``train_left_out``, ``repeated`` and ``left_out``, if there are any, what was found of questions
    that stand twice; ``train_gold_elsewhere``, how many train questions name gold passages that the
    corpus lacks.
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
    train_metadata: str | None = None
    """Fingerprint of the train questions' metadata, which methods may learn from.

    None if they have none, or if the card's checksums and version stand for it.
    """
    whole: Corpus | None = None
    """The corpus of which ``corpus`` is a sub-pool; it also holds what train questions need."""
    dealt: Hand | None = None
    """Which of several pools these data are, if the questions were dealt into them."""


@dataclass(frozen=True, slots=True)
class _Files:
    questions: Path
    train: Path | None
    corpus: Path
    provenance: Mapping[str, str]
    vouched: bool = False
    """The card's checksums and version stand for the train file."""


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
    vouched = train is not None and verify and vouches(source, task, train)
    return _Files(questions, train, corpus, source.provenance(), vouched)


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
    shown, leaked = part_asked(shown, asked)
    whole = Corpus.open(files.corpus)
    check_gold(files.questions, asked, whole)
    notes = _notes(files, asked, leaked) | _gold_elsewhere(files, shown, whole)
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
        train_metadata=None if files.vouched else metadata_fingerprint(shown),
        corpus_fingerprint=pool.fingerprint,
        card=task.card,
        provenance={**files.provenance, **{k: str(v) for k, v in paths.items() if v}, **notes},
        limit=limit,
        whole=whole,
    )


def _notes(files: _Files, asked: Sequence[Question], leaked: Sequence[Question]) -> dict[str, str]:
    """What to say of questions that stand in both files, or twice in one; warns of it."""
    notes = {}
    if leaked and files.train:
        first = where_asked(files.train, leaked[0])
        notes["train_left_out"] = f"{len(leaked):,}, which are also asked, the first {first}"
        _log.warning("train questions left out: %s", notes["train_left_out"])
    if again := repeated(asked):
        first = where_asked(files.questions, again[0])
        notes["repeated"] = f"{len(again):,} ask what an earlier one asks, the first {first}"
        if files.provenance["source"] != "shipped":
            _log.warning("questions: %s; each of them counts", notes["repeated"])
    return notes


def _gold_elsewhere(files: _Files, shown: Sequence[Question], corpus: Corpus) -> dict[str, str]:
    """What to say of train questions whose gold passages are not all in the corpus; warns of it."""
    # A demonstration shows a question and its answer; nothing is searched for.
    lacking = [q for q in shown if any(id_ not in corpus for id_ in q.gold_doc_ids)]
    if not (lacking and files.train):
        return {}
    first = where_asked(files.train, lacking[0])
    note = f"{len(lacking):,} name gold passages that the corpus lacks, the first {first}"
    _log.warning("train questions: %s", note)
    return {"train_gold_elsewhere": note}


def _sample(questions: tuple[Question, ...], limit: int | None) -> tuple[Question, ...]:
    if limit is None or limit >= len(questions):
        return questions
    kept = {q.id for q in sample_by_hash(questions, limit, lambda question: question.id)}
    return tuple(question for question in questions if question.id in kept)
