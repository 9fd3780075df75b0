"""A task of twelve facts with its own folder, and shared parts for the tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from methods.parametric_qa.shared.bundle import Bundle, SelectorConfig
from methods.parametric_qa.shared.initial import document_tokens, salience_of
from methods.parametric_qa.shared.parts import SharedParts

FOUNDERS = {
    "Lighthouse": "Mara Quint", "Harbour": "Jon Abel", "Museum": "Ida Berg", "Opera": "Leo Falk",
    "Windmill": "Una Cole", "Castle": "Tom Vane", "Garden": "Eva Lund", "Bakery": "Max Oram",
}  # fmt: skip
YEARS = {"Bridge": "1821", "Tunnel": "1934", "Railway": "1877", "Airport": "2003"}
TAUGHT = {
    "Pier": "Ann Howe", "Chapel": "Ben Ives", "School": "Cy Jarvis", "Mill": "Di Kemp",
    "Square": "Ed Lowe", "Market": "Flo Munn", "Tower": "Gus Nash", "Fountain": "Hal Oates",
}  # fmt: skip


def write_task(folder: Path, name: str = "small") -> Path:
    """Write a task's folder: twelve questions, eight train questions, twenty-four passages."""
    sample = folder / name / "sample"
    sample.mkdir(parents=True)
    asked = [(f"Who founded the {place}?", place, who) for place, who in FOUNDERS.items()]
    asked += [(f"When was the {place} opened?", place, year) for place, year in YEARS.items()]
    taught = [(f"Who founded the {place}?", place, who) for place, who in TAUGHT.items()]
    others = [(f"d-other-{n}", f"Place {n}", f"Nothing is known of {n}.") for n in range(4)]
    passages = [
        *(_passage(place, f"The {place} was founded by {who}.") for place, who in FOUNDERS.items()),
        *(_passage(place, f"In {year} the {place} opened.") for place, year in YEARS.items()),
        *(_passage(place, f"The {place} was founded by {who}.") for place, who in TAUGHT.items()),
        *others,
    ]
    rows = {
        "questions": [_question(f"q-{n}", *row) for n, row in enumerate(asked)],
        "train": [_question(f"t-{n}", *row) for n, row in enumerate(taught)],
        "corpus": [{"id": i, "contents": f"{title}\n{text}"} for i, title, text in passages],
    }
    for part, values in rows.items():
        lines = "".join(json.dumps(value) + "\n" for value in values)
        (sample / f"{part}.jsonl").write_text(lines)
    (folder / name / "task.yaml").write_text(yaml.safe_dump({"name": name, "title": "Small"}))
    return folder / name


def write_shared(llm, folder: Path, passages=(), style: str | None = None) -> Path:
    """Untrained shared parts for the model, saved as trained ones are, without an adapter."""
    table = llm.model.get_input_embeddings().weight.detach().float()
    parts = SharedParts.from_model(llm, 8, table.shape[1])
    parts.salience.copy_(salience_of((document_tokens(llm, p) for p in passages), len(table)))
    bundle = Bundle.untrained(parts, SelectorConfig(), table)
    bundle.save(folder, {"prompt_style": style or llm.prompt_style})
    return folder


def _passage(place: str, text: str) -> tuple[str, str, str]:
    return f"d-{place.lower()}", place, text


def _question(id_: str, text: str, place: str, answer: str) -> dict[str, object]:
    gold = {"gold_doc_ids": [f"d-{place.lower()}"]}
    return {"id": id_, "question": text, "golden_answers": [answer], "metadata": gold}
