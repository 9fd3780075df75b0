"""A task folder written from a stream of passages and questions, whole or not at all.

Rows are written as they come, ids are remembered as hashes, and a second pass over the written file
takes out what has to go: memory grows by some 40 bytes a row, whatever the rows hold.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from harness.data.jsonl import BAD_CHARACTER
from harness.data.passages import normal_passage
from harness.errors import InputError
from harness.formats.base import Asked, Changed, Dropped, Item
from harness.formats.digests import Digests
from harness.formats.fields import NO_TEXT
from harness.records import Passage

Change = Callable[[dict[str, Any]], dict[str, Any]]

_STAGED = ".staged"


@dataclass(slots=True)
class Count:
    """How often something happened, and where first."""

    number: int
    first: str


@dataclass
class Tally:
    """What was written, and what was not: counts by reason, in the order of their first."""

    written: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, Count] = field(default_factory=dict)
    changed: dict[str, Count] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def drop(self, why: str, where: str, number: int = 1) -> None:
        """Count what was left out."""
        _count(self.dropped, why, where, number)

    def change(self, why: str, where: str, number: int = 1) -> None:
        """Count what was written otherwise."""
        _count(self.changed, why, where, number)


def _count(counts: dict[str, Count], why: str, where: str, number: int) -> None:
    if why in counts:
        counts[why].number += number
    elif number:
        counts[why] = Count(number, where)


class Part:
    """One file of the folder: staged as it comes, then written without what is left out."""

    def __init__(self, path: Path, one: str) -> None:
        self.path, self._one = path, one
        self._staged = path.with_name(path.name + _STAGED)
        self._file: BinaryIO | None = None
        self.ids = Digests()

    def add(self, id_: str, row: Mapping[str, Any]) -> None:
        """Write a row of this id."""
        if self._file is None:
            self._file = self._staged.open("wb")
        try:
            line = _line(row)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{self._one} {id_!r}: its metadata cannot be JSON ({error}); leave them out"
            ) from None
        self._file.write(line)
        self.ids.append(id_, line)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def finish(self, tally: Tally, change: Change | None = None) -> int:
        """The number of rows left when repeated ids are taken out; no rows make no file."""
        if self._file is None:
            return 0
        self.close()
        repeats = self.ids.seal()
        kept = np.ones(len(self.ids), bool)
        kept[repeats.same] = kept[repeats.other] = False
        if kept.all() and change is None:
            self._staged.rename(self.path)
            return len(kept)
        firsts = {int(found[0]): "" for found in (repeats.same, repeats.other) if len(found)}
        with self._staged.open("rb") as staged, self.path.open("wb") as file:
            for place, line in enumerate(staged):
                if kept[place]:
                    file.write(line if change is None else _line(change(json.loads(line))))
                elif place in firsts:
                    firsts[place] = f"id {json.loads(line)['id']!r}"
        self._staged.unlink()
        if len(repeats.same):
            why = f"{self._one}s that came again just the same, written once"
            tally.change(why, firsts[int(repeats.same[0])], len(repeats.same))
        if len(repeats.other):
            why = f"{self._one}s with the id of an earlier, different one"
            tally.drop(why, firsts[int(repeats.other[0])], len(repeats.other))
        return int(kept.sum())


class TaskFolder:
    """The sample of a task folder that is being written."""

    def __init__(self, folder: Path, tally: Tally) -> None:
        self.tally = tally
        self._without_gold = 0
        sample = folder / "sample"
        sample.mkdir()
        self.corpus = Part(sample / "corpus.jsonl", "passage")
        self.parts = {
            "questions": Part(sample / "questions.jsonl", "question"),
            "train": Part(sample / "train.jsonl", "train question"),
        }

    def add(self, item: Item) -> None:
        """Write or count one item."""
        if isinstance(item, Passage):
            self._passage(item)
        elif isinstance(item, Asked):
            self._question(item)
        elif isinstance(item, Dropped):
            self.tally.drop(item.why, item.where)
        elif isinstance(item, Changed):
            self.tally.change(item.why, item.where)
        elif item.text not in self.tally.notes:
            self.tally.notes.append(item.text)

    def close(self) -> None:
        """Let go of the files, finished or not."""
        for part in (self.corpus, *self.parts.values()):
            part.close()

    def finish(self) -> None:
        """Write the files. Raises InputError if there is no passage or no question."""
        tally = self.tally
        tally.written["passages"] = self.corpus.finish(tally)
        for name, part in self.parts.items():
            tally.written[name] = part.finish(tally, partial(self._known_gold, name))
        for kind in ("questions", "passages"):
            if not tally.written[kind]:
                raise InputError(f"the source gave no {kind}{_because(tally)}")
        if self._without_gold:
            of = f"{self._without_gold:,} of {tally.written['questions']:,} questions"
            tally.notes.append(f"without gold passages, and so without Recall: {of}")

    def _passage(self, passage: Passage) -> None:
        id_, title, text = self._cleaned(passage.id, passage.id, passage.title, passage.text)
        if "\n" in title or "\r" in title:
            title = " ".join(title.split())
            self.tally.change("titles whose line breaks became spaces", f"id {id_!r}")
        if not id_.strip():
            self.tally.drop("passages without an id", f"text {text[:40]!r}")
        elif not (title.strip() or text.strip()):
            self.tally.drop(NO_TEXT, f"id {id_!r}")
        else:
            contents = normal_passage(Passage(id_, title, text)).contents
            self.corpus.add(id_, {"id": id_, "contents": contents})

    def _question(self, asked: Asked) -> None:
        question, part = asked.question, self.parts[asked.part]
        kind = "train questions" if asked.part == "train" else "questions"
        id_, text, *answers = self._cleaned(
            question.id, question.id, question.text, *question.golden_answers
        )
        answers = list(dict.fromkeys(answer for answer in answers if answer.strip()))
        gold = list(dict.fromkeys(self._cleaned(id_, *question.gold_doc_ids)))
        if not id_.strip():
            self.tally.drop(f"{kind} without an id", f"text {text[:40]!r}")
        elif not text.strip():
            self.tally.drop(f"{kind} without a text", f"id {id_!r}")
        elif not answers:
            self.tally.drop(f"{kind} without an answer", f"id {id_!r}")
        else:
            metadata = {**_clean(dict(question.metadata)), "gold_doc_ids": gold}
            row = {"id": id_, "question": text, "golden_answers": answers, "metadata": metadata}
            part.add(id_, row)

    def _cleaned(self, where: str, *texts: str) -> list[str]:
        """Texts without characters that UTF-8 or the reader of the folder would refuse."""
        if any(map(BAD_CHARACTER.search, texts)):
            why = "texts that lost NUL characters or unpaired surrogates"
            self.tally.change(why, f"id {where!a}")
            return [BAD_CHARACTER.sub("", text) for text in texts]
        return list(texts)

    def _known_gold(self, part: str, row: dict[str, Any]) -> dict[str, Any]:
        gold = row["metadata"]["gold_doc_ids"]
        known = [id_ for id_ in gold if id_ in self.corpus.ids]
        if len(known) < len(gold):
            missing = next(id_ for id_ in gold if id_ not in known)
            where = f"{missing!r} of question {row['id']!r}"
            why = "gold ids that no passage has"
            self.tally.drop(why, where, len(gold) - len(known))
            if not known:
                why = "questions that lost all their gold"
                self.tally.change(why, f"id {row['id']!r}")
        if not known and part == "questions":
            self._without_gold += 1
        row["metadata"]["gold_doc_ids"] = known
        return row


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _clean(value: Any) -> Any:
    """Metadata without those characters, at any depth."""
    if isinstance(value, str):
        return BAD_CHARACTER.sub("", value)
    if isinstance(value, dict):
        return {_clean(name): _clean(inner) for name, inner in value.items()}
    return [_clean(inner) for inner in value] if isinstance(value, list | tuple) else value


def _because(tally: Tally) -> str:
    """The commonest reason why nothing is left, for an error."""
    if not tally.dropped:
        return ""
    why, count = max(tally.dropped.items(), key=lambda found: found[1].number)
    return f"; left out: {why}: {count.number:,}, the first {count.first}"
