"""The record of a judge beside a run: who judged by which prompt, and a verdict a question.

judge.json says which model and prompt; judge.jsonl has one line a question, appended as verdicts
come. A line is known by the SHA-256 of the prompt's text, so it counts only for the same question,
golden answers and answer. Verdicts are an opinion: scoring does not know of them. Once they are all
there, judge.json is sealed, over itself and over them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.files import parsed_json, read_json, write_json, writing
from harness.fingerprint import canonical_json, file_sha256
from harness.runs.judge_prompt import Word, verdict_of
from harness.runs.record import Record, parse_record
from harness.runs.seal import is_sound, sealed, without_seal

JUDGE, VERDICTS = "judge.json", "judge.jsonl"
_WORDS = ("right", "wrong", None)


class Judge(Record):
    """Who judges: a model by name and identity, and the hash of the prompt."""

    model: str
    settings: dict[str, Any]
    prompt_sha256: str
    version: int = 1
    """Of how a prompt is filled and asked and a reply is read."""

    @property
    def text(self) -> str:
        """One line for messages and captions."""
        return f"{self.model}, prompt {self.prompt_sha256[:12]}"


class JudgeFile(Record):
    """Who judges a run, and, once that is done, the SHA-256 of what was judged and of the verdicts.

    Releases before ``verdicts_sha256`` wrote neither it nor a seal.
    """

    judge: Judge
    predictions_sha256: str | None = None
    verdicts_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One question's verdict; ``word`` is None where the reply was neither RIGHT nor WRONG."""

    question_id: str
    asked: str
    """SHA-256 of the prompt's text, its first 16 hex digits."""
    word: Word | None
    reply: str = ""

    def line(self) -> bytes:
        """As it is stored."""
        row = {"question_id": self.question_id, "asked": self.asked, "verdict": self.word}
        return canonical_json({**row, "reply": self.reply}).encode() + b"\n"


def read_judge(folder: Path) -> JudgeFile | None:
    """Who judges a run; None if nobody does.

    Raises InputError, also where judge or verdicts were edited since all were there.
    """
    path = folder / JUDGE
    if not path.exists():
        return None
    values = read_json(path)
    judged = without_seal(values) if isinstance(values, dict) else values
    found = parse_record(path, judged, JudgeFile)
    if not is_sound(values, None):
        raise InputError(f"{path}: changed since the run was judged; restore it, or {_AGAIN}")
    verdicts = folder / VERDICTS
    known = found.verdicts_sha256
    if known is not None and verdicts.exists() and file_sha256(verdicts) != known:
        raise InputError(f"{verdicts}: changed since the run was judged; restore it, or {_AGAIN}")
    return found


_AGAIN = f"delete {JUDGE} and {VERDICTS} and judge again"


def write_judge(folder: Path, judge: Judge, predictions_sha256: str | None = None) -> None:
    """Replace the record atomically; with the predictions that were judged, for good."""
    values = {"judge": judge.model_dump(), "predictions_sha256": predictions_sha256}
    if predictions_sha256 is not None:
        sha256 = file_sha256(folder / VERDICTS)
        values = sealed({**values, "verdicts_sha256": sha256}, None)
    write_json(folder / JUDGE, values)


def read_verdicts(folder: Path) -> dict[str, Verdict]:
    """Verdicts by question id, the last of each; a line that a kill cut off is left out.

    Raises InputError for a line that is damaged.
    """
    return {verdict.question_id: verdict for verdict in _lines(folder / VERDICTS)}


def _lines(path: Path) -> Iterator[Verdict]:
    if not path.exists():
        return
    *whole, _ = path.read_bytes().split(b"\n")
    for number, line in enumerate(whole, start=1):
        try:
            row: Mapping[str, Any] = parsed_json(line)
            if row["verdict"] not in _WORDS:
                raise ValueError(f"verdict {row['verdict']!r}")
            # Nobody was asked where there is no reply: errors and empty answers are wrong.
            asked = row["reply"] or row["verdict"] != "wrong"
            if asked and row["verdict"] != verdict_of(row["reply"]):
                raise ValueError(f"verdict {row['verdict']!r} of the reply {row['reply']!r:.60}")
            yield Verdict(
                str(row["question_id"]), str(row["asked"]), row["verdict"], str(row["reply"])
            )
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}:{number}: not a verdict ({error}); delete the line to have it judged again"
            ) from error


def remove_judge(folder: Path) -> None:
    """Forget a judge and its verdicts."""
    with writing(folder):
        (folder / JUDGE).unlink(missing_ok=True)
        (folder / VERDICTS).unlink(missing_ok=True)
