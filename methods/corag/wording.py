"""The wording of a chain's prompts: templates with places such as ``{query}``, one a prompt.

The checkpoint was tuned on exact strings, which are the authors' and not copied here. ``REWORDED``
says the same in words of our own; README.md describes files with other words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.errors import InputError, did_you_mean, problem_of
from harness.fingerprint import fingerprint
from methods.corag.chain import NO_INFORMATION

PLACES: Mapping[str, tuple[str, ...]] = {
    "sub_query": ("history", "task", "query"),
    "sub_answer": ("documents", "query"),
    "final_answer": ("documents", "history", "task", "query"),
    "hop": ("query", "answer"),
    "document": ("document",),
    "final_document": ("document",),
    "chain_document": ("query", "answer"),
}
"""What each template must hold."""
COUNTS = ("number", "index")
"""Which hop or document it is, counted from 1 and from 0; no template needs them."""
_PLACE = re.compile(r"\{(history|task|query|documents|document|answer|number|index)\}")


class Wording(BaseModel):
    """The strings that a chain's prompts are made of.

    Hops and documents are put one after another as they stand, and what surrounds all of them is
    stripped, so each brings its own line breaks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sub_query: str
    sub_answer: str
    final_answer: str
    hop: str
    """One sub-query with its answer, in ``{history}``."""
    nothing_yet: str
    """``{history}`` of a chain that has not begun."""
    document: str
    """A document of a sub-answer."""
    final_document: str
    """A document of the final answer."""
    chain_document: str
    """A hop as a document, when a chain is scored."""
    no_information: str = Field(min_length=1)
    """The answer whose probability is a chain's penalty."""
    tasks: dict[str, str] = Field(default_factory=dict)
    """Task descriptions by task name, 'single-hop' or 'multi-hop'; 'any' where none of them is."""

    @model_validator(mode="after")
    def _has_its_places(self) -> Any:
        for name, wanted in PLACES.items():
            held = set(_PLACE.findall(getattr(self, name)))
            if missing := [place for place in wanted if place not in held]:
                raise ValueError(f"'{name}' lacks {{{missing[0]}}}")
            if foreign := sorted(held - {*wanted, *COUNTS}):
                raise ValueError(f"'{name}' has no place for {{{foreign[0]}}}")
        return self

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all strings."""
        return fingerprint(self.model_dump())

    @property
    def prompts_fingerprint(self) -> str:
        """SHA-256 of all strings but the task descriptions."""
        return fingerprint(self.model_dump(exclude={"tasks"}))


def fill(template: str, **values: object) -> str:
    """The template with its places filled; braces in the values mean nothing."""
    return _PLACE.sub(lambda found: str(values.get(found[1], found[0])), template)


def read_wording(path: Path) -> Wording:
    """The wording in a YAML or JSON file. Raises InputError naming the file, the key, the fix."""
    import yaml

    from harness.data.yaml import load_yaml

    try:
        values = load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as YAML or JSON ({reason})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: is not a mapping; methods/corag/README.md describes the keys")
    return wording_of(path, values)


def wording_of(path: Path, values: Mapping[str, Any]) -> Wording:
    """The wording of these strings, read at ``path``. Raises InputError naming the key."""
    try:
        return Wording.model_validate(values)
    except ValidationError as error:
        found = problem_of(error)
        hint = did_you_mean(found.key, list(Wording.model_fields)) if found.is_unknown else ""
        where = f"'{found.where}': " if found.where else ""
        raise InputError(
            f"{path}: {where}{found.message}{hint}; methods/corag/README.md describes the keys"
        ) from error


def _sections(first: str, *sections: tuple[str, str], last: str) -> str:
    return "\n\n".join([first, *(f"## {name}\n{text}" for name, text in sections), last])


_HISTORY, _TASK = "{history}", ("Task description", "{task}")
_DOCUMENTS = ("Documents", "{documents}")

REWORDED = Wording(
    sub_query=_sections(
        "You answer the main query with the help of a search engine, one search at a time. Read "
        "the intermediate queries and answers so far, then write the next simple question to "
        "search for. Where earlier answers did not help, put the main query in other words or "
        "split it up. Keep the question simple: the search engine may not follow a complex one.",
        ("Previous intermediate queries and answers", _HISTORY),
        _TASK,
        ("Main query to answer", "{query}"),
        last="Reply with one simple follow-up question that helps to answer the main query. No "
        "explanation and nothing else.",
    ),
    sub_answer=_sections(
        "Answer the query from the documents below. Use nothing but the documents and make "
        f'nothing up. If they hold nothing useful, reply "{NO_INFORMATION}".',
        _DOCUMENTS,
        ("Query", "{query}"),
        last="Reply with a short answer. No explanation and nothing else.",
    ),
    final_answer=_sections(
        "Answer the main query by putting together what the documents and the intermediate "
        "queries and answers say. A model wrote the intermediate answers, so some may be wrong.",
        _DOCUMENTS,
        ("Intermediate queries and answers", _HISTORY),
        _TASK,
        ("Main query", "{query}"),
        last="Reply with a fitting answer. No explanation and nothing else.",
    ),
    hop="Intermediate query {number}: {query}\nIntermediate answer {number}: {answer}\n",
    nothing_yet="Nothing yet",
    document="{document}\n\n",
    final_document="Doc {index}: {document}\n\n",
    chain_document="Q: {query}\nA: {answer}",
    no_information=NO_INFORMATION,
    tasks={
        "multi-hop": "Answer questions that take facts from more than one document.",
        "single-hop": "Answer questions that one document answers.",
        "any": "Answer questions from documents.",
    },
)
"""The structure that the checkpoint was tuned on, in words of our own."""
