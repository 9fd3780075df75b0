"""One question's story, read from the files of its runs; no model is needed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from textwrap import indent
from typing import Any

from harness.errors import InputError, did_you_mean
from harness.metrics import Documents
from harness.runs.directory import find_runs
from harness.runs.gold import gold_of, gold_rows
from harness.runs.manifest import TaskConfig, read_manifest
from harness.runs.predictions import documents_of, read_predictions
from harness.runs.stamp import PREDICTIONS, STAMP, read_stamp
from harness.runs.task_config import called
from harness.runs.unanswered import read_unanswered

SHORT = 240
"""Characters of a prompt or reply that are shown unless all is asked for."""
_CALLS = ("generate", "score", "next_token_probs", "search")


def story(root: Path, question_id: str, *, full: bool = False) -> str:
    """What every run below ``root`` did with one question, step by step.

    ``full`` prints whole prompts. Raises InputError if no run has answered the question.
    """
    stories, answered, damaged = list[str](), set[str](), list[str]()
    for folder in find_runs(root):
        try:
            found = _find(folder, question_id, answered)
            if found is not None:
                stories.append("\n".join(_story(folder, found, full)))
            elif question_id in (unanswered := read_unanswered(folder)):
                stories.append(f"{folder}: left unanswered, {unanswered[question_id]}")
        except InputError as error:
            damaged.append(f"damaged, so left out: {error}")
    if not stories:
        raise InputError(
            f"{root}: no run has answered question '{question_id}'"
            f"{did_you_mean(question_id, sorted(answered)) if answered else ''}"
            + "".join(f"; {each}" for each in damaged)
        )
    return _visible("\n\n".join([*stories, *damaged]))


def _find(folder: Path, question_id: str, answered: set[str]) -> dict[str, Any] | None:
    """The question's stored prediction, None if there is none; ``answered`` gets all ids."""
    path = folder / PREDICTIONS
    found = None
    for _, row in read_predictions(path) if path.exists() else ():
        answered.add(row["question_id"])
        # A failed question may have been asked again: the last line counts.
        found = row if row["question_id"] == question_id else found
    return found


def _story(folder: Path, row: Mapping[str, Any], full: bool) -> Iterator[str]:
    config = read_manifest(folder).config
    gold = _gold(folder, config.task, row["question_id"])
    yield f"{called(config.task)} / {config.method.name} / {config.model.name} ({folder})"
    yield f"question {row['question_id']}: {gold.get('question', '(not on file)')}"
    for number, step in enumerate(row["steps"], start=1):
        yield f"{number:3}. {_step(step, full)}"
    yield f"answer: {row['answer']!r}"
    if row.get("error"):
        yield f"error: {row['error']}"
    if gold:
        yield f"golden answers: {', '.join(map(repr, gold['golden_answers']))}"
        yield from _documents(documents_of(row), set(gold["gold_doc_ids"]))
    yield from _changed(folder)
    usage = row["usage"]
    if not usage:
        yield "calls and tokens: not known of external results"
        return
    yield (
        f"{usage['llm_calls']} model calls, {usage['retrievals']} searches, "
        f"{_count(usage['prompt_tokens'])} + {_count(usage['completion_tokens'])} tokens"
    )


def _changed(folder: Path) -> Iterator[str]:
    """A caution where the answers are not those that were scored; they are shown as they are."""
    manifest = read_manifest(folder)
    if not (manifest.has_ended and (folder / STAMP).exists()):
        return
    try:
        read_stamp(folder, manifest)
    except InputError as error:
        yield f"caution: {error}"


def _documents(found: Documents, wanted: set[str]) -> Iterator[str]:
    """What was ranked, and what was read and named of it where that is something else."""

    def marked(ids: Iterable[str]) -> str:
        return " ".join(f"{id_}*" if id_ in wanted else id_ for id_ in ids) or "nothing"

    yield f"retrieved (* gold, {len(wanted)} in all): {marked(found.ranked)}"
    if found.read != found.ranked:
        yield f"read: {marked(found.read)}"
    if found.support is not None:
        yield f"named as support: {marked(found.support)}"


def _gold(folder: Path, task: TaskConfig, question_id: str) -> dict[str, Any]:
    if not gold_of(folder, task).exists():
        return {}
    return next((row for row in gold_rows(folder, task) if row["id"] == question_id), {})


def _step(step: Mapping[str, Any], full: bool) -> str:
    kind = step["kind"]
    if kind == "search":
        scores = step["scores"] or [None] * len(step["retrieved_ids"])
        found = zip(step["retrieved_ids"], scores, strict=False)
        hits = ", ".join(i if s is None else f"{i} ({s:.2f})" for i, s in found)
        return f"search {step['query']!r}: {hits or 'nothing found'}"
    if kind not in _CALLS:
        return f"{kind}: " + ", ".join(
            f"{key}={_plain(value)}" for key, value in step.items() if key != "kind"
        )
    dropped = step.get("passages_dropped")
    note = f", {dropped} passages did not fit" if dropped else ""
    note += ", the best passage was cut" if step.get("passages_cut") else ""
    note += ", the token limit ended the reply" if step.get("cut_off") else ""
    prompt = indent(_shown(step["prompt"], full), "       | ")
    lines = [f"{kind} ({_count(step['prompt_tokens'])} tokens{note})", prompt]
    if step.get("thoughts"):
        lines.append(f"     thoughts {step['thoughts'] if full else _cut(step['thoughts'])!r}")
    return "\n".join([*lines, f"     = {_outcome(step, full)}"])


def _count(tokens: int | None) -> str:
    return "unknown" if tokens is None else f"{tokens:,}"


def _outcome(step: Mapping[str, Any], full: bool) -> str:
    if step["kind"] == "generate":
        return repr(step["reply"] if full else _cut(step["reply"]))
    if step["kind"] == "score":
        pairs = zip(step["continuations"], step["logprobs"], strict=True)
        return ", ".join(f"log P({text!r}) = {_plain(value)}" for text, value in pairs)
    return ", ".join(f"P({text!r}) = {_plain(value)}" for text, value in step["probs"].items())


def _shown(prompt: str, full: bool) -> str:
    """A prompt's end is what sets it apart; demonstrations and passages come before it."""
    return prompt if full or len(prompt) <= SHORT else f"... {prompt[-SHORT:]}"


def _cut(text: str) -> str:
    return text if len(text) <= SHORT else f"{text[:SHORT]} ..."


def _plain(value: Any) -> str:
    return repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _visible(text: str) -> str:
    """Text that cannot steer a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
