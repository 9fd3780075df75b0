"""Runs as the harness writes them, of invented answers: by its own writers and its own scoring."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from harness.data.corpus import Corpus
from harness.data.questions import questions_fingerprint
from harness.files import write_json
from harness.records import Hit, Passage, Prediction, Question, Step, Usage
from harness.runs.directory import RunDirectory
from harness.runs.gold import gold_path, write_gold
from harness.runs.manifest import (
    FINISHED,
    CardRecord,
    Hardware,
    Harness,
    Manifest,
    MethodConfig,
    ModelSettings,
    RunConfig,
    TaskConfig,
)
from harness.runs.performance import PERFORMANCE
from harness.runs.predictions import prediction_line
from harness.runs.scoring import score_run

METHODS = (
    "no-retrieval", "bm25", "standard-rag", "parametric-qa", "self-rag-prompted", "ircot",
    "adaptive-rag", "corag-prompted",
)  # fmt: skip
TASKS = ("nq-like", "triviaqa-like", "hotpotqa-like", "musique-like")
_LETTERS = "abcdefghijklmnoprstuvwy"


@dataclass(frozen=True)
class Data:
    """A task's questions and its corpus on disk; question i has the gold passage ``gold[i]``."""

    name: str
    questions: tuple[Question, ...]
    passages: tuple[Passage, ...]
    path: Path
    corpus: Corpus


Answer = Callable[[Question], Prediction]


def make_data(root: Path, name: str, questions: int, *, words: int = 100) -> Data:
    """A task of so many questions, five passages each of so many words."""
    random = Random(name)
    known = ["".join(random.choices(_LETTERS, k=random.randint(2, 9))) for _ in range(4000)]
    passages, asked = [], []
    for i in range(questions):
        for place in range(5):
            text = " ".join(random.choices(known, k=words))
            passages.append(Passage(f"{name}-p{i}-{place}", f"Title {i} {place}", text))
        asked.append(
            Question(
                f"q{i:04d}",
                f"who {' '.join(random.choices(known, k=9))}",
                (f"answer {i}",),
                (f"{name}-p{i}-0",),
            )
        )
    return data_of(root, name, asked, passages)


def data_of(
    root: Path, name: str, questions: Sequence[Question], passages: Sequence[Passage]
) -> Data:
    """A task of these questions and passages."""
    path = root / f"{name}-corpus.jsonl"
    rows = ({"id": p.id, "title": p.title, "text": p.text} for p in passages)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Data(name, tuple(questions), tuple(passages), path, Corpus.open(path))


def write_run(
    runs: Path,
    data: Data,
    method: str,
    answers: Sequence[Prediction],
    *,
    seconds: float = 1.0,
    seed: int = 0,
    params: Mapping[str, Any] | None = None,
    card: CardRecord | None = None,
    model: str = "tiny-model",
    hardware: str = "2 x CPU",
) -> Path:
    """Write and score one finished run; gives its folder."""
    config = RunConfig(
        task=TaskConfig(
            name=data.name, split="sample",
            questions=len(data.questions), passages=len(data.corpus),
            questions_fingerprint=questions_fingerprint(data.questions),
            corpus_fingerprint=data.corpus.fingerprint,
        ),
        method=MethodConfig(name=method, params=dict(params or {})),
        model=ModelSettings(name=model),
        seed=seed,
    )  # fmt: skip
    folder = config.folder(runs)
    manifest = Manifest(
        schema_version=1, run_id=config.run_id, config=config, method_card=card or CardRecord(),
        non_default_params=dict(params or {}),
        task_provenance={"source": "files", "corpus": str(data.path)},
        hardware=Hardware(fingerprint="f", summary=hardware, device="cpu", threads=1),
        harness=Harness(version="0.1.0"), created="2026-11-26", status=FINISHED,
        timing={"loop": "closed", "streamed": "all replies"},
    )  # fmt: skip
    write_gold(gold_path(runs, config.task), data.questions)
    ids = tuple(question.id for question in data.questions)
    with RunDirectory(folder, ids) as directory:
        directory.write_manifest(manifest)
        for id_, answer in zip(ids, answers, strict=True):
            directory.append(id_, prediction_line(id_, answer))
        directory.finish()
    costs = {
        "latency": {
            "seconds": [seconds, seconds * 1.2], "warmup": 1,
            "first_token": [seconds * 0.4, seconds * 0.9],
        },
        "throughput": {"questions": len(ids), "seconds": seconds * len(ids)},
        "storage": {"parts": {"text": int(1e6 * seconds)}, "documents": len(data.corpus)},
        "usage": {
            "llm_calls": 1.0, "retrievals": 1.0, "prompt_tokens": 500 * seconds,
            "completion_tokens": 8.0, "passages_dropped": 0.0, "empty": 0.0, "cut_off": 0.0,
        },
        "memory": {"kind": "rss", "peak_bytes": 10**9},
    }  # fmt: skip
    write_json(folder / PERFORMANCE, costs)
    score_run(folder)
    return folder


def answers(data: Data, skill: float, *, reads: bool, name: str) -> list[Prediction]:
    """Answers of a method that is right in a share of the questions, with a trace of two calls."""
    random = Random(f"{name} {data.name}")
    given = []
    for i, question in enumerate(data.questions):
        right = random.random() < skill
        answer = question.golden_answers[0] if right else f"guess {random.randint(0, 99)}"
        found = data.passages[5 * i : 5 * i + 5] if reads else ()
        prompt = "\n".join(["Answer.", *(p.contents for p in found[:1]), question.text])
        hits = [Hit(passage.id, 9.0 - place) for place, passage in enumerate(found)]
        search = Step(
            "search", {"query": question.text, "k": 5, "retrieved_ids": [h.id for h in hits]}
        )
        reply = Step("generate", {"prompt": prompt, "reply": f" {answer}", "prompt_tokens": 300})
        given.append(
            Prediction(
                answer, ranked=hits, raw=f" {answer}", usage=Usage(1, int(reads), 300, 8),
                steps=(search, reply) if reads else (reply,),
            )
        )  # fmt: skip
    return given


def write_board(root: Path, questions: int, tasks: Sequence[str] = TASKS) -> Path:
    """Eight methods on these tasks; gives the folder of the runs."""
    runs = root / "runs"
    for task in tasks:
        data = make_data(root, task, questions)
        for place, method in enumerate(METHODS):
            found = answers(data, 0.2 + 0.08 * place, reads=place > 0, name=method)
            write_run(runs, data, method, found, seconds=0.2 * 2**place)
    return runs
