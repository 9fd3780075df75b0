"""Results of another program as a run: matched with a task's questions, scored, marked external."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import ConfigError, InputError
from harness.files import atomic_file, writing
from harness.fingerprint import canonical_json
from harness.records import Question
from harness.registry import names
from harness.runs.directory import run_folders
from harness.runs.external import External
from harness.runs.gold import gold_path, write_gold
from harness.runs.manifest import (
    FINISHED,
    INCOMPLETE,
    MANIFEST,
    Hardware,
    Harness,
    Manifest,
    MethodConfig,
    ModelSettings,
    RunConfig,
    read_manifest,
)
from harness.runs.provenance import harness_version
from harness.runs.scoring import score_run
from harness.runs.task_config import task_config
from harness.runs.unanswered import write_unanswered

if TYPE_CHECKING:
    from harness.data.corpus import Corpus
    from harness.data.task import TaskData

_NOT_MEASURED = Hardware(fingerprint="external", summary="not known of external results")


@dataclass(frozen=True, slots=True)
class Answer:
    """What results say of one question; ``where`` is their file and index.

    ``answer`` None: none is given. ``documents`` are the id and text of what was retrieved, best
    first; None if they do not tell.
    """

    where: str
    id: str
    question: str
    answer: str | None
    documents: tuple[tuple[str, str], ...] | None


@dataclass(frozen=True, slots=True)
class Results:
    """Results as their reader found them: who made them, and what ``External`` has of them."""

    source: str
    model: str
    answers: Mapping[str, Answer]
    files: Mapping[str, str]
    seed: int = 0
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Imported:
    """A run folder of external results, and what did not come into it."""

    folder: Path
    answered: int
    unanswered: int
    left_out: int
    corpus: Literal["same", "unknown"]
    reason: str
    """Why the corpus is unknown."""


def import_results(
    results: Results, data: TaskData, root: Path, name: str, *, partial: bool = False
) -> Imported:
    """Write results of a task's questions as a scored run below ``root``.

    ``partial``: questions without a result are unanswered, and results of other questions are left
    out; otherwise either is an InputError with counts. Raises InputError for a result whose
    question is another, and for other results of that name; ConfigError for a method's name.
    """
    if name in names("methods"):
        raise ConfigError(f"--name {name}: a method of the harness is called so; choose another")
    asked = {question.id: question for question in data.questions}
    for result in results.answers.values():
        if result.id in asked:
            _check_text(result, asked[result.id])
    missing = [q.id for q in data.questions if _answer(results, q.id) is None]
    strangers = [result for id_, result in results.answers.items() if id_ not in asked]
    if len(missing) == len(asked):
        raise InputError(
            f"none of the {len(asked):,} questions of {data.name} ({data.split}) has a result; "
            "name the task, split or questions file that the results are of"
        )
    if not partial:
        _refuse_partial(data, missing, strangers)
    reason = _other_corpus(results.answers.values(), data.corpus)
    config = _config(results, data, name)
    external = External(
        source=results.source,
        model=results.model,
        corpus="unknown" if reason else "same",
        told=dict(results.told),
        files=dict(results.files),
    )
    folder = config.folder(root)
    _check_place(folder, config)
    with writing(root):
        write_gold(gold_path(root, config.task), data.questions)
        folder.mkdir(parents=True, exist_ok=True)
    _write(folder, results, data, config, external, missing)
    score_run(folder)
    return Imported(
        folder, len(asked) - len(missing), len(missing), len(strangers), external.corpus, reason
    )


def _answer(results: Results, question_id: str) -> str | None:
    found = results.answers.get(question_id)
    return None if found is None else found.answer


def _check_text(result: Answer, question: Question) -> None:
    if result.question.split() != question.text.split():
        raise InputError(
            f"{result.where}: asks {result.question[:80]!r} as '{result.id}', but the task's "
            f"question of that id is {question.text[:80]!r}; name the questions file that the "
            "results are of"
        )


def _refuse_partial(data: TaskData, missing: list[str], strangers: list[Answer]) -> None:
    found = []
    if missing:
        found.append(
            f"{len(missing):,} of the {len(data.questions):,} questions of {data.name} "
            f"({data.split}) have no answer, the first '{missing[0]}'"
        )
    if strangers:
        found.append(
            f"{len(strangers):,} results are of other questions, the first "
            f"{strangers[0].where} ('{strangers[0].id}')"
        )
    if found:
        raise InputError(
            f"{'; '.join(found)}; --partial takes those that both have, and counts the others"
        )


def _other_corpus(answers: Iterable[Answer], corpus: Corpus) -> str:
    """Why the results are not known to be of the corpus; empty if all they name is of it."""
    any_named = False
    for answer in answers:
        for id_, text in answer.documents or ():
            any_named = True
            if id_ not in corpus or corpus.get(id_).text.strip() not in text:
                return f"passage '{id_}' of {answer.where} is not the corpus's"
    return "" if any_named else "they name no retrieved passage"


def _config(results: Results, data: TaskData, name: str) -> RunConfig:
    # What is with the method makes a row: the model, too, of results that join other tables. The
    # fingerprint is with the model, so that one name is one row over several tasks.
    model = {"name": results.model, "external": results.source, "files": dict(results.files)}
    return RunConfig(
        task=task_config(data),
        method=MethodConfig(name=name, params={"model": results.model, **results.told}),
        model=ModelSettings.model_validate(model),
        seed=results.seed,
    )


def _check_place(folder: Path, config: RunConfig) -> None:
    """Two different results of one name could not be told apart in a table."""
    for other in run_folders(folder.parent) if folder.parent.is_dir() else ():
        there = read_manifest(other).config
        if other != folder and (there.task, there.seed) == (config.task, config.seed):
            raise InputError(
                f"{other}: other results are called '{config.method.name}'; delete that folder or "
                "choose another --name"
            )


def _write(
    folder: Path,
    results: Results,
    data: TaskData,
    config: RunConfig,
    external: External,
    missing: list[str],
) -> None:
    with atomic_file(folder / "predictions.jsonl") as file:
        for row in _rows(results, data, with_documents=external.corpus == "same"):
            file.write(canonical_json(row).encode() + b"\n")
    reason = f"no answer among the results of {results.source}"
    write_unanswered(folder, dict.fromkeys(missing, reason))
    manifest = Manifest(
        schema_version=config.schema_version,
        run_id=config.run_id,
        config=config,
        task_provenance=dict(data.provenance),
        **data.card.scored_otherwise,
        external=external,
        hardware=_NOT_MEASURED,
        harness=Harness(**harness_version()),
        created=datetime.now(UTC).date().isoformat(),
        status=INCOMPLETE if missing else FINISHED,
    )
    with atomic_file(folder / MANIFEST) as file:
        file.write(canonical_json(manifest.written()).encode() + b"\n")


def _rows(results: Results, data: TaskData, *, with_documents: bool) -> Iterator[dict[str, Any]]:
    """Predictions as they are stored; of what was read and what it took, nothing is known."""
    for question in data.questions:
        answer = _answer(results, question.id)
        if answer is None:
            continue
        documents = results.answers[question.id].documents or ()
        ids = list(dict.fromkeys(id_ for id_, _ in documents)) if with_documents else []
        yield {
            "question_id": question.id,
            "answer": answer,
            "raw": "",
            "retrieved_ids": ids,
            "read_ids": None,
            "steps": [],
            "usage": {},
            "error": None,
        }
