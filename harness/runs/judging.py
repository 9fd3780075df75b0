"""Judging: a language model is asked of every answer whether it is right; kept apart from scores.

A phase after scoring that can be done at any time. It goes on where it was stopped, and never asks
again what has its verdict already.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from harness.engine import Engine
from harness.errors import ConfigError
from harness.files import atomic_file, locked, writing
from harness.fingerprint import file_sha256
from harness.llm.base import LanguageModel
from harness.method import Method, MethodCard
from harness.progress import bar, say
from harness.prompts import Prompt
from harness.records import Prediction, Query
from harness.runs.answers import AnswerWriter
from harness.runs.gold import read_gold
from harness.runs.judge_prompt import JudgePrompt, verdict_of
from harness.runs.judge_record import (
    VERDICTS,
    Judge,
    Verdict,
    read_judge,
    read_verdicts,
    remove_judge,
    write_judge,
)
from harness.runs.manifest import read_manifest
from harness.runs.predictions import read_predictions
from harness.runs.stamp import PREDICTIONS

if TYPE_CHECKING:
    from rich.console import Console

WINDOW = 128
_LONGEST_REPLY = 8
_KEPT = 200


class _Asking(Method):
    """One call a question; the reply's first word is the verdict."""

    card = MethodCard("Judge", "Asks whether an answer is right.")

    async def answer(self, query: Query) -> Prediction:
        prompt = Prompt(query.text, reply_start="Verdict:")
        # A completion model may begin with an empty line.
        reply = await self.llm.generate(prompt, max_tokens=_LONGEST_REPLY, stop=(), one_line=True)
        return Prediction(verdict_of(reply.text) or "", raw=reply.text)


@dataclass(slots=True)
class _Verdicts:
    """The verdicts of one run, appended as they come (a ``Keeper`` of answers)."""

    folder: Path
    prompts: Mapping[str, str]
    answered: set[str]
    failed: dict[str, str] = field(default_factory=dict)
    """Why questions could not be put to the judge, by question id."""

    def append(self, question_id: str, line: bytes) -> None:
        """Keep the verdict of one ``prediction_line``, at once and for good."""
        row = json.loads(line)
        if row["error"] is not None:
            self.failed[question_id] = row["error"]
            return
        verdict = Verdict(
            question_id,
            _hash(self.prompts[question_id]),
            verdict_of(row["raw"]),
            row["raw"][:_KEPT],
        )
        path = self.folder / VERDICTS
        with writing(path), path.open("ab") as file:
            file.write(verdict.line())
            file.flush()
            os.fsync(file.fileno())
        self.answered.add(question_id)


def judge_run(
    folder: Path, llm: LanguageModel, judge: Judge, prompt: JudgePrompt, console: Console
) -> dict[str, str]:
    """Judge what has no verdict yet of a run that has ended; why some were left, by question id.

    Errors and empty answers are wrong without being asked of. Raises ConfigError if another judge
    was at it (``remove_judge``), RunFailedError if every question fails.
    """
    with locked(folder, "run"):
        _check(folder, judge)
        write_judge(folder, judge)
        unanswered = _Session(folder, llm, prompt).run(console)
        if not unanswered:
            write_judge(folder, judge, file_sha256(folder / PREDICTIONS))
    return unanswered


@dataclass(slots=True)
class _Session:
    folder: Path
    llm: LanguageModel
    prompt: JudgePrompt

    def run(self, console: Console) -> dict[str, str]:
        prompts = _prompts(self.folder, self.prompt)
        known = _known(self.folder, prompts)
        self._write(known, list(prompts))
        asked = {id_: text for id_, text in prompts.items() if text is not None}
        left = [Query(id_, text) for id_, text in asked.items() if id_ not in known]
        unanswered = self._ask(left, asked, set(known), console) if left else {}
        self._write(read_verdicts(self.folder), list(prompts))
        return unanswered

    def _ask(
        self, left: list[Query], asked: Mapping[str, str], known: set[str], console: Console
    ) -> dict[str, str]:
        engine, method = Engine(self.llm, window=WINDOW), _Asking()
        method.open(engine.lend())
        label = f"judging {'/'.join(self.folder.parts[-3:])}"
        with bar(console, label, len(asked), len(asked) - len(left)) as shown:
            verdicts = _Verdicts(self.folder, asked, known)
            keep = AnswerWriter(verdicts, shown.advance, "verdicts so far are kept")
            keep.answer(engine, method, left)
        return {**keep.unanswered, **verdicts.failed}

    def _write(self, verdicts: Mapping[str, Verdict], order: list[str]) -> None:
        """The verdicts in the order of the questions, so that equal judgements are equal files."""
        with atomic_file(self.folder / VERDICTS) as file:
            file.writelines(verdicts[id_].line() for id_ in order if id_ in verdicts)


def judge_runs(
    folders: list[Path],
    llm: LanguageModel,
    judge: Judge,
    prompt: JudgePrompt,
    console: Console,
    *,
    replace: bool = False,
) -> int:
    """Judge all runs that have ended, one after the other; how many questions have no verdict.

    Every run is looked at before the first is judged: a run with another judge's verdicts stops
    all, unless they are to be replaced.
    """
    ended = [folder for folder in folders if read_manifest(folder).has_ended]
    for folder in ended:
        if not replace:
            _check(folder, judge)
        elif not _is_by(folder, judge):
            remove_judge(folder)
    left = 0
    for folder in ended:
        unanswered = judge_run(folder, llm, judge, prompt, console)
        left += len(unanswered)
        for reason in list(unanswered.values())[:1]:
            say(console, f"{folder}: {len(unanswered)} without a verdict: {reason}")
        unclear = sum(verdict.word is None for verdict in read_verdicts(folder).values())
        if unclear:
            say(console, f"{folder}: {unclear} replies say neither RIGHT nor WRONG")
    for folder in folders:
        if folder not in ended:
            say(console, f"{folder}: unfinished, not judged")
    return left


def is_judged(folder: Path, judge: Judge) -> bool:
    """Whether nothing is left to be asked of a run, by this judge."""
    found = read_judge(folder)
    if found is None or found.judge != judge:
        return False
    return found.predictions_sha256 == file_sha256(folder / PREDICTIONS)


def _prompts(folder: Path, prompt: JudgePrompt) -> dict[str, str | None]:
    """What is to be asked of each answer; None of errors and empty answers."""
    gold = read_gold(folder, read_manifest(folder).config.task)
    found: dict[str, str | None] = {}
    for _, row in read_predictions(folder / PREDICTIONS):
        about, answer = gold[row["question_id"]], row["answer"]
        asks = row.get("error") is None and answer.strip()
        text = prompt.fill(about["question"], about["golden_answers"], answer) if asks else None
        found[row["question_id"]] = text
    return found


def _known(folder: Path, prompts: Mapping[str, str | None]) -> dict[str, Verdict]:
    """Verdicts that still hold, and those that nobody is asked for."""
    nothing = {id_: Verdict(id_, _hash(""), "wrong") for id_, t in prompts.items() if t is None}
    asked = {id_: _hash(text) for id_, text in prompts.items() if text is not None}
    before = read_verdicts(folder)
    kept = {id_: v for id_, v in before.items() if asked.get(id_) == v.asked}
    return {**kept, **nothing}


def _check(folder: Path, judge: Judge) -> None:
    if not _is_by(folder, judge):
        before = read_judge(folder)
        assert before is not None
        raise ConfigError(
            f"{folder}: judged by another one before ({before.judge.text}); --replace removes its "
            "verdicts"
        )


def _is_by(folder: Path, judge: Judge) -> bool:
    """Whether there are no verdicts of another judge."""
    before = read_judge(folder)
    return before is None or before.judge == judge


def _hash(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
