"""The pool of a contextual training: passages and rows as token ids, one compressed file.

Reading it needs numpy alone.
"""

from __future__ import annotations

import io
import json
import lzma
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from harness.llm.local import LocalModel
    from methods.parametric_qa.contextual.gather import Gathered

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Ragged:
    """Lists of numbers, one after another: list i is ``flat[starts[i]:starts[i + 1]]``."""

    flat: Array
    starts: Array

    @classmethod
    def of(cls, lists: Sequence[Sequence[int]], kind: Any) -> Self:
        """From lists of numbers that ``kind`` can hold."""
        flat = np.fromiter((n for one in lists for n in one), dtype=kind)
        lengths = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
        return cls(flat, np.concatenate([[0], lengths.cumsum()]).astype(np.uint32))

    def __getitem__(self, number: int) -> Array:
        return self.flat[self.starts[number] : self.starts[number + 1]]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Array:
        """Length of each list."""
        return np.diff(self.starts.astype(np.int64))


@dataclass(frozen=True, slots=True)
class Pool:
    """Passages and rows.

    ``passages`` are what an encoder reads; the text that a reader of text sees begins with
    ``leads`` in the place of the first ``skips`` tokens. ``questions`` are prompts from after the
    memories to the last token before the answer, ``answers`` what follows. ``gold`` and ``hard``
    are numbers of passages. ``text`` is what stands before a passage, then what stands after it.
    ``meta`` holds the model's and the data's names.
    """

    passages: Ragged
    leads: Ragged
    skips: Array
    questions: Ragged
    answers: Ragged
    gold: Ragged
    hard: Ragged
    weights: Array
    held_out: Array
    text: Ragged
    meta: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write one file, compressed."""
        arrays: dict[str, Array] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, Ragged):
                arrays |= {f"{item.name}.flat": value.flat, f"{item.name}.starts": value.starts}
            elif item.name != "meta":
                arrays[item.name] = value
        arrays["meta"] = np.frombuffer(json.dumps(self.meta).encode(), dtype=np.uint8)
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **arrays)
        path.write_bytes(lzma.compress(content.getvalue(), preset=6))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what ``save`` wrote."""
        content = io.BytesIO(lzma.decompress(path.read_bytes()))
        with np.load(content, allow_pickle=False) as arrays:
            values: dict[str, Any] = {}
            for item in fields(cls):
                if f"{item.name}.flat" in arrays:
                    values[item.name] = Ragged(
                        arrays[f"{item.name}.flat"], arrays[f"{item.name}.starts"]
                    )
                else:
                    values[item.name] = arrays[item.name]
            values["meta"] = json.loads(values["meta"].tobytes())
        return cls(**values)


def build(
    found: Gathered,
    hard: Sequence[Sequence[int]],
    llm: LocalModel,
    longest: int,
    meta: dict[str, Any],
) -> Pool:
    """Token ids of what was gathered, as the harness's own prompts have them.

    Rows whose passage is longer than ``longest`` tokens are left out, and golden answers are kept
    (in ``meta``) of held-out rows alone.
    """
    from harness.prompts import QAPrompts
    from methods.parametric_qa.prompts import recall_prompt
    from methods.parametric_qa.shared.initial import document_tokens
    from methods.parametric_qa.write.sequences import end_token

    documents = [document_tokens(llm, passage) for passage in found.passages]
    spaced = [_ids(llm, f" {_line(p.title, p.text)}") for p in found.passages]
    same = [_same_end(one, other) for one, other in zip(documents, spaced, strict=True)]
    kept = [
        n for n, row in enumerate(found.rows) if all(len(documents[g]) <= longest for g in row.gold)
    ]
    rows = [found.rows[n] for n in kept]
    pairs = [_asked(llm, row.question, row.answer) for row in rows]
    before, after = _around(llm, QAPrompts())
    golden = {str(n): list(row.golden) for n, row in enumerate(rows) if row.held_out}
    small = np.uint16 if len(llm.tokenizer) <= 2**16 else np.int32
    return Pool(
        passages=Ragged.of([d[:longest] for d in documents], small),
        leads=Ragged.of([s[: len(s) - n] for s, n in zip(spaced, same, strict=True)], small),
        skips=np.array([len(d) - n for d, n in zip(documents, same, strict=True)], np.uint16),
        questions=Ragged.of([prompt for prompt, _ in pairs], small),
        answers=Ragged.of([answer for _, answer in pairs], small),
        gold=Ragged.of([row.gold for row in rows], np.int32),
        hard=Ragged.of([hard[n] for n in kept], np.int32),
        weights=np.array([row.weight for row in rows], np.float32),
        held_out=np.array([row.held_out for row in rows], np.bool_),
        text=Ragged.of([before, after], small),
        meta={
            **meta,
            "golden": golden,
            "sources": [row.source for row in rows if row.held_out],
            "too long": len(found.rows) - len(rows),
            "start": llm.encode(""),
            "end": end_token(llm),
            "asked": llm.parts(recall_prompt()),
        },
    )


def _asked(llm: LocalModel, question: str, answer: str) -> tuple[list[int], list[int]]:
    """Tokens of a question's prompt after its memories, and of the answer that follows."""
    from methods.parametric_qa.prompts import reading_prompt

    prompt = reading_prompt(question, 1)
    _, (reply,) = llm.pairs(prompt.render(llm.prompt_style), [f" {answer}\n"])
    return llm.parts(prompt)[-1], reply


def _line(title: str, text: str) -> str:
    return f"{title}: {text}" if title else text


def _ids(llm: LocalModel, text: str) -> list[int]:
    ids: list[int] = llm.tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def _same_end(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens at the end are the same."""
    count = 0
    while count < min(len(one), len(other)) and one[-1 - count] == other[-1 - count]:
        count += 1
    return count


def _around(llm: LocalModel, prompts: Any) -> tuple[list[int], list[int]]:
    """Tokens before and after a passage in the prompt of a reader of text, by an example."""
    from harness.records import Passage, Query

    prompt = prompts.read(Query("q", "who?"), [Passage("p", "", "\ufdd1")]).render("completion")
    before, after = prompt.split(" \ufdd1")
    return llm.encode(before), _ids(llm, after.partition("Question:")[0])
