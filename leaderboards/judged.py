"""A judge's verdicts of a row: the share called right, and how far that agrees with EM.

They stand in columns of their own. No score, bold or p-value knows of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import InputError
from harness.files import read_json
from harness.metrics.statistics import Interval, mean_cis
from harness.runs.judge_record import read_judge, read_verdicts

if TYPE_CHECKING:
    from leaderboards.collect import Floats, Run


@dataclass(frozen=True, slots=True)
class Judged:
    """What a judge said of a row's answers, of those to which it said anything.

    ``right`` is their share called right, with its 95 % interval over questions, ``agreement`` the
    share on which verdict and EM are the same, ``kappa`` Cohen's, which is 0 for what chance would
    give and None where neither of the two varies. ``unclear`` answers got neither word; None of
    the rest where all did.
    """

    judge: str
    right: float | None
    interval: Interval | None
    agreement: float | None
    kappa: float | None
    answers: int
    unclear: int


def judged(runs: Sequence[Run]) -> Judged | None:
    """The verdicts of all seeds of a row.

    None if any answer has none, if several judges gave them, or if their files are damaged.
    """
    try:
        return _judged(runs)
    except InputError:
        return None


def _judged(runs: Sequence[Run]) -> Judged | None:
    judges = {_judge_of(part) for run in runs for part in run.on_disk}
    if len(judges) > 1 or None in judges:
        return None
    (judge,) = judges
    assert judge is not None
    words = [_words(run) for run in runs]
    if any(word is None for word in words):
        return None
    said = np.array(words, dtype=float)
    em = np.array([run.scores["em"] for run in runs])
    clear = ~np.isnan(said)
    if not clear.any():
        return Judged(judge, None, None, None, None, answers=0, unclear=clear.size)
    # Of several seeds, a question's value is its mean over those that got a word.
    asked = clear.any(axis=0)
    values = np.nanmean(said[:, asked], axis=0)
    agreement, kappa = _agreement(said[clear], em[clear])
    return Judged(
        judge=judge,
        right=float(values.mean()),
        interval=mean_cis(values[np.newaxis])[0],
        agreement=agreement,
        kappa=kappa,
        answers=int(clear.sum()),
        unclear=int((~clear).sum()),
    )


def judge_lines(rows: Iterable[tuple[str, Judged | None]]) -> tuple[str, ...]:
    """What to know of the column, for a caption: who judged, and rows that lack verdicts."""
    known = [(label, one) for label, one in rows]
    judges: dict[str, list[str]] = {}
    for label, one in known:
        if one is not None:
            judges.setdefault(one.judge, []).append(label)
    if not judges:
        return ()
    several = len(judges) > 1
    who = "; ".join(
        judge + (f" of {', '.join(labels)}" if several else "") for judge, labels in judges.items()
    )
    lines = [
        f"Judge: the share of answers that a language model called right ({who}). An opinion: it "
        "is no score, takes part in no comparison, and answers may sway it. Agreement: with EM on "
        "the same answers, and Cohen's kappa."
    ]
    unclear = [f"{label} {one.unclear:,}" for label, one in known if one and one.unclear]
    if unclear:
        lines.append(
            f"Judge, neither RIGHT nor WRONG, so left out of its columns: {', '.join(unclear)}."
        )
    missing = [label for label, one in known if one is None]
    if missing:
        lines.append(f"Not judged, not wholly, or files damaged: {', '.join(missing)}.")
    return tuple(lines)


def _judge_of(run: Run) -> str | None:
    """Who judged the predictions that were scored; None if nobody did, or not all of them."""
    found = read_judge(run.folder)
    if found is None or found.predictions_sha256 is None:
        return None
    scored = read_json(run.folder / "scores.json")
    return found.judge.text if found.predictions_sha256 == scored["predictions_sha256"] else None


def _words(run: Run) -> Floats | None:
    """1 for right, 0 for wrong, NaN for neither, in the order of the questions."""
    verdicts = {id_: v for part in run.on_disk for id_, v in read_verdicts(part.folder).items()}
    if any(id_ not in verdicts for id_ in run.question_ids):
        return None
    value = {"right": 1.0, "wrong": 0.0, None: float("nan")}
    return np.array([value[verdicts[id_].word] for id_ in run.question_ids])


def _agreement(said: Floats, em: Floats) -> tuple[float, float | None]:
    agreement = float(np.mean(said == em))
    by_chance = said.mean() * em.mean() + (1 - said.mean()) * (1 - em.mean())
    if by_chance == 1:
        return agreement, None
    return agreement, float((agreement - by_chance) / (1 - by_chance))
