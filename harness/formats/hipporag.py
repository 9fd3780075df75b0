"""HippoRAG's files: ``NAME.json`` with the questions beside ``NAME_corpus.json``.

Source: OSU-NLP-Group/HippoRAG, README.md, "Custom Datasets", and main.py, get_gold_docs and
get_gold_answers. The corpus is [{title, text}], in the first release of HotpotQA {title:
[sentences]}. A question brings its gold documents in one of three shapes: ``paragraphs`` (each
supporting unless it says no; ``text`` or MuSiQue's ``paragraph_text``), ``contexts`` (supporting if
marked), or HotpotQA's ``supporting_facts`` over ``context``. They are the passages of the corpus
with the same title and text. Its answer is ``answer``, ``gold_ans`` or ``reference``, a string or a
list, or PopQA's ``obj``, ``o_wiki_title``, ``possible_answers`` and ``o_aliases``; and
``answer_aliases`` beside.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from harness.errors import InputError
from harness.formats.base import Dropped, Format, Item
from harness.formats.fields import (
    UNANSWERABLE,
    Fields,
    asked_or_dropped,
    paragraph,
    passage_or_dropped,
    rows_of,
)
from harness.formats.hotpotqa import NO_SUPPORT, context_of, facts_of, supporting
from harness.formats.parts import bare_name
from harness.formats.sources import find, first_bytes, open_source
from harness.records import Passage, Question

IDS = "hipporag"
_POPQA = ("obj", "o_wiki_title", "possible_answers", "o_aliases")


class HippoRAGOptions(Format.Options):
    """Options of HippoRAG's files."""

    name: str = Field("", description="of a folder of several datasets, the one to take")
    corpus: Path | None = Field(None, description="the corpus, if not NAME_corpus.json beside")
    gold: Literal["all", "any"] = Field(
        "all", description="an answer takes all gold documents, or any of them gives it (NQ, PopQA)"
    )


class HippoRAG(Format):
    """Questions over a corpus in one file, whose gold documents are known by what they hold."""

    summary = "HippoRAG's datasets, of both releases, and your own of their shapes"
    source = "NAME.json with NAME_corpus.json beside it, or the folder of both"

    Options = HippoRAGOptions
    options: HippoRAGOptions

    def __init__(self, options: HippoRAGOptions) -> None:
        super().__init__(options)
        self.gold = options.gold

    def files(self, source: Path) -> list[Path]:
        """The corpus and the questions."""
        questions = self._questions(source)
        name = bare_name(questions)
        corpus = self.options.corpus or find(questions.parent, _corpus_of(name))
        if corpus is None:
            raise InputError(
                f"{questions}: no {_corpus_of(name)} beside it; give one: -o corpus=FILE"
            )
        return [corpus, questions]

    def read(self, source: Path) -> Iterator[Item]:
        """The corpus, then the questions."""
        corpus, questions = self.files(source)
        name = bare_name(questions).removesuffix(".json")
        for title, text, where in _documents(corpus):
            yield passage_or_dropped(where, paragraph(IDS, title, text))
        # As main.py joins them: only HotpotQA's sentences bring their own spaces.
        between = "" if name.startswith("hotpotqa") else " "
        for at, row in enumerate(rows_of(questions)):
            yield from _asked(row, f"{name}-{at}", between)

    def _questions(self, source: Path) -> Path:
        if not source.is_dir():
            return source
        if self.options.name:
            if path := find(source, f"{self.options.name}.json"):
                return path
            raise InputError(
                f"{source}: holds no {self.options.name}.json; correct -o name={self.options.name}"
            )
        names = sorted({bare_name(path) for path in source.iterdir()})
        whole = [name for name in names if name.endswith(".json") and _corpus_of(name) in names]
        if len(whole) != 1:
            found = ", ".join(name.removesuffix(".json") for name in whole) or "none"
            raise InputError(
                f"{source}: expected one NAME.json with NAME_corpus.json, found {found}; "
                "say which: -o name=NAME"
            )
        path = find(source, whole[0])
        assert path is not None
        return path


def _corpus_of(name: str) -> str:
    return f"{name.removesuffix('.json')}_corpus.json"


def _documents(path: Path) -> Iterator[tuple[str, str, str]]:
    """Title, text and place of each document."""
    if first_bytes(path)[:1] == b"{":
        yield from _titled_sentences(path)
        return
    for row in rows_of(path):
        yield row.text_or_empty("title"), row.text("text", "paragraph_text", "content"), row.where


def _titled_sentences(path: Path) -> Iterator[tuple[str, str, str]]:
    import ijson

    with open_source(path) as file:
        try:
            for title, sentences in ijson.kvitems(file, ""):
                where = f"{path}[{json.dumps(title, ensure_ascii=False)}]"
                row = Fields(where, {"sentences": sentences})
                yield title, "".join(row.texts("sentences")), where
        except ijson.JSONError as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path}: not valid JSON ({reason}); restore the file") from None


def _asked(row: Fields, default_id: str, between: str) -> Iterator[Item]:
    if row.get("answerable") is False:
        yield Dropped(UNANSWERABLE, row.where)
        return
    gold = _gold(row, between)
    facts = facts_of(row)
    if facts and not gold:
        yield Dropped(NO_SUPPORT, row.where)
    hops = len({title for title, _ in facts}) or len(row.get("question_decomposition") or ())
    id_ = row.identifier("_id", "id") if row.get("_id", "id") is not None else default_id
    metadata: dict[str, Any] = {"hops": hops} if hops else {}
    question = Question(id_, row.text("question"), _answers(row), tuple(gold), metadata)
    yield asked_or_dropped(row.where, question, "questions")


def _gold(row: Fields, between: str) -> list[str]:
    """Ids of the gold documents, each once; none if the question marks none."""
    if row.get("supporting_facts") is not None:
        context = [paragraph(IDS, title, between.join(text)) for title, text in context_of(row)]
        return supporting(facts_of(row), context)
    if row.get("contexts") is not None:
        marked = [each for each in row.objects("contexts") if each.get("is_supporting")]
    elif row.get("paragraphs") is not None:
        marked = [p for p in row.objects("paragraphs") if p.values.get("is_supporting", True)]
    else:
        return []
    return list(dict.fromkeys(_paragraph(each).id for each in marked))


def _paragraph(row: Fields) -> Passage:
    return paragraph(IDS, row.text_or_empty("title"), row.text("text", "paragraph_text", "content"))


def _answers(row: Fields) -> tuple[str, ...]:
    answers: Sequence[str] = row.texts("answer", "gold_ans", "reference")
    if not answers:
        # PopQA's lists may be JSON in a string.
        answers = [
            text
            for name in _POPQA
            for text in Fields(row.where, {name: _unpacked(row.get(name))}).texts(name)
        ]
    return tuple(dict.fromkeys([*answers, *row.texts("answer_aliases")]))


def _unpacked(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith("["):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
