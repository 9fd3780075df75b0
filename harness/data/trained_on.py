"""What trained parts were trained on: hashes of questions in a file beside them, and the check.

``trained_on.json`` lies in the folder of the trained parts, and counts for folders below it (a
model or an adapter). It is no part of a run's identity: it changes no prediction.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from harness.data.leaks import NORMAL_FORM, HasText, question_hash
from harness.data.questions import questions_fingerprint, where_asked
from harness.data.task import TaskData
from harness.errors import InputError
from harness.files import read_json, write_json

TRAINED_ON = "trained_on.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """Something that was trained, such as ``shared parts 'mine'``, and hashes of the questions.

    ``questions`` is None if nobody noted them.
    """

    name: str
    questions: frozenset[str] | None

    @classmethod
    def of(cls, name: str, questions: Iterable[HasText]) -> Self:
        """Of questions that are at hand."""
        return cls(name, frozenset(question_hash(question.text) for question in questions))


def write_record(
    folder: Path, questions: Mapping[str, Iterable[HasText]], before: Iterable[TrainedOn] = ()
) -> None:
    """Note, by the name of their source, the questions that what lies in a folder learnt from.

    Validation questions are among them. ``before`` is what the weights had learnt from when this
    training began, as far as it is known.
    """
    learnt = _known([*before, *(TrainedOn.of(name, asked) for name, asked in questions.items())])
    hashes = {name: " ".join(sorted(found)) for name, found in learnt.items()}
    write_json(folder / TRAINED_ON, {"normal_form": NORMAL_FORM, "questions": hashes})


def read_record(folder: Path, name: str) -> TrainedOn:
    """What ``write_record`` noted; unknown without a record or with one of another release.

    Raises InputError for a damaged one.
    """
    file = folder / TRAINED_ON
    if not file.is_file():
        return TrainedOn(name, None)
    values = read_json(file)
    try:
        if values["normal_form"] != NORMAL_FORM:
            return TrainedOn(name, None)
        hashes = [hash_ for text in values["questions"].values() for hash_ in text.split()]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file}: not a record of training ({error!r}); restore it") from error
    return TrainedOn(name, frozenset(hashes))


def record_of_weights(folder: Path, name: str) -> list[TrainedOn]:
    """The record for a model or an adapter in a folder, if there is one in it or above it."""
    places = [place for place in (folder, folder.parent) if (place / TRAINED_ON).is_file()]
    return [read_record(places[0], name)] if places else []


def counts(trained: Iterable[TrainedOn]) -> dict[str, int | None]:
    """How many questions each part learnt from; None is not known."""
    parts = tuple(trained)
    known = {name: len(questions) for name, questions in _known(parts).items()}
    return known | {part.name: None for part in parts if part.questions is None}


def _known(trained: Iterable[TrainedOn]) -> dict[str, frozenset[str]]:
    """Questions by the part's name, which several may share: routers of a sweep, an adapter."""
    known: dict[str, frozenset[str]] = {}
    for part in trained:
        if part.questions is not None:
            known[part.name] = known.get(part.name, frozenset()) | part.questions
    return known


def warn_of_unknown(trained: Iterable[TrainedOn]) -> None:
    """Say which parts have no record, each once."""
    for part in dict.fromkeys(trained):
        if part.questions is None:
            _log.warning(
                "not known which questions %s learnt from: no %s that this release reads",
                part.name,
                TRAINED_ON,
            )


def check_untrained(
    data: TaskData, trained: Iterable[TrainedOn], *, leave_out: bool = False
) -> TaskData:
    """The task's data if nothing was trained on a question of it.

    ``leave_out``: the data without such questions, as said in its provenance. Parts without a
    record pass (``warn_of_unknown``). Raises InputError naming how many, the first and how to go
    on.
    """
    parts = _known(trained)
    if not parts:
        return data
    hashes = {question.id: question_hash(question.text) for question in data.questions}
    names = [name for name, learnt in parts.items() if not learnt.isdisjoint(hashes.values())]
    if not names:
        return data
    known = frozenset[str]().union(*(parts[name] for name in names))
    found = [question for question in data.questions if hashes[question.id] in known]
    count = f"{len(found):,} of {len(data.questions):,} questions"
    if not leave_out or len(found) == len(data.questions):
        file = data.provenance.get("questions")
        first = where_asked(Path(file), found[0]) if file else repr(found[0].text)
        raise InputError(
            f"task '{data.name}': {count} are among those that {', '.join(names)} learnt from, the "
            f"first {first}; {_ways_out(leave_out)}"
        )
    _log.warning("%s: %s left out: %s learnt from them", data.name, count, ", ".join(names))
    kept = tuple(question for question in data.questions if hashes[question.id] not in known)
    note = f"{count}, which {', '.join(names)} learnt from"
    return replace(
        data,
        questions=kept,
        questions_fingerprint=questions_fingerprint(kept),
        provenance={**data.provenance, "left_out": note},
    )


def _ways_out(leave_out: bool) -> str:
    if leave_out:
        return "none is left to ask: give others"
    return (
        "leave them out for every method with --leave-out-trained (leave_out_trained: true in a "
        "board), or ask others"
    )
