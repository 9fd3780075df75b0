"""Texts: a folder of documents, cut into passages of so many words, and questions about them."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import Field, model_validator

from harness.errors import InputError
from harness.escape import utf8
from harness.formats.base import Asked, Dropped, Format, Item, Part, source_files
from harness.formats.parts import bare_name
from harness.formats.questions import QuestionColumns, read_questions
from harness.formats.rows import named
from harness.formats.sources import open_source
from harness.records import Passage
from harness.sentences import split_lines

_ENDS = (".txt", ".md", ".markdown")
_HEADING = re.compile(r"#{1,6}[ \t]+(\S.*?)[ \t]*#*")
_FENCES = ("```", "~~~")
_LONGEST_TEXT = 1 << 30
# Chinese and Japanese put no space between words, so a character counts as one; and what has no
# space for hundreds of characters, such as a picture in base64, is cut.
_NO_SPACES = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_NO_SPACES}]|[^\s{_NO_SPACES}]{{1,200}}")


class Texts(Format):
    """Plain text and Markdown, a document a file; its passages have the ids ``path#1``, ``path#2``.

    A question's gold may be a passage or a document, which stands for all of its passages: any of
    them counts. A file is held in memory whole.
    """

    summary = "a folder of .txt and .md files, cut into passages by words"
    source = "a folder of .txt and .md files, at any depth; the questions with -o questions=FILE"
    gold = "any"

    class Options(QuestionColumns):
        """How documents are cut, and where the questions are."""

        words: int = Field(100, ge=1, description="words of a passage")
        overlap: int = Field(20, ge=0, description="words that a passage repeats of the one before")
        questions: Path | None = Field(
            None, description="file of the questions (table); else questions.* of the folder"
        )
        train: Path | None = Field(None, description="file of train questions (table)")
        encoding: str = Field("utf-8", description="of the documents, such as latin-1")

        @model_validator(mode="after")
        def _advances(self) -> Texts.Options:
            if self.overlap >= self.words:
                raise ValueError(
                    f"overlap must be smaller than words; they are {self.overlap} and {self.words}"
                )
            try:
                "".encode(self.encoding)
            except LookupError:
                raise ValueError(f"encoding {self.encoding!r} is unknown") from None
            return self

    options: Options

    def files(self, source: Path) -> list[Path]:
        """The documents; the questions add themselves when they are read."""
        return [path for path in source_files(source) if _is_text(path)]

    def read(self, source: Path) -> Iterator[Item]:
        """The passages, document by document in the order of their paths, then the questions."""
        asked = self._questions(source)
        passages: dict[str, int] = {}
        for path in source_files(source):
            name = utf8(path.relative_to(source).as_posix() if source.is_dir() else path.name)
            if not path.is_file():
                # Followed, a link to a folder may lead out of the source, or round and round.
                yield Dropped("links to folders or to nothing, pipes: not followed", str(path))
            elif _is_text(path):
                read = 0
                for item in self._document(path, name):
                    read += isinstance(item, Passage)
                    yield item
                passages[name] = read
            elif path not in asked.values():
                yield Dropped("files that are neither .txt nor .md", str(path))
        for part, file in asked.items():
            for item in read_questions(file, self.options, part):
                yield _with_passages(item, passages) if isinstance(item, Asked) else item

    def _questions(self, source: Path) -> dict[Part, Path]:
        inside = source.is_dir()
        found: dict[Part, Path | None] = {
            "questions": self.options.questions or (named(source, "questions") if inside else None),
            "train": self.options.train or (named(source, "train") if inside else None),
        }
        if found["questions"] is None:
            raise InputError(
                f"{source}: which questions are asked? a task needs some: -o questions=FILE, a "
                "table (CSV, …) with the columns question and answer"
            )
        return {part: path for part, path in found.items() if path is not None}

    def _document(self, path: Path, name: str) -> Iterator[Item]:
        with open_source(path) as file:
            content = file.read(_LONGEST_TEXT + 1)
        if len(content) > _LONGEST_TEXT:
            yield Dropped(f"files of more than {_LONGEST_TEXT >> 20} MB, unpacked", str(path))
            return
        try:
            text = content.decode(self.options.encoding).removeprefix("\ufeff")
        except UnicodeDecodeError:
            yield Dropped(f"files that are not {self.options.encoding} (-o encoding)", str(path))
            return
        if "\0" in text:
            yield Dropped("files that are binary", str(path))
        elif not text.strip():
            yield Dropped("files without a text", str(path))
        else:
            title = _title(text, name)
            parts = _parts(text, self.options.words, self.options.overlap)
            for number, part in enumerate(parts, 1):
                yield Passage(f"{name}#{number}", title, part)


def _is_text(path: Path) -> bool:
    return Path(bare_name(path)).suffix.lower() in _ENDS


def _title(text: str, name: str) -> str:
    """The first heading of a Markdown file, else the name of the file without its end."""
    plain = Path(bare_name(Path(name)))
    lines = split_lines(text) if plain.suffix.lower() != ".txt" else ()
    for line in lines:
        if line.startswith(_FENCES):
            break
        if heading := _HEADING.fullmatch(line.rstrip()):
            return heading[1]
    return plain.stem


def _parts(text: str, words: int, overlap: int) -> Iterator[str]:
    """Pieces of the text as it is written, each of so many words, the last of the rest."""
    starts, ends = array("q"), array("q")
    for word in _WORD.finditer(text):
        starts.append(word.start())
        ends.append(word.end())
    for first in range(0, len(starts), words - overlap):
        last = min(first + words, len(starts))
        yield text[starts[first] : ends[last - 1]]
        if last == len(starts):
            return


def _with_passages(asked: Asked, passages: Mapping[str, int]) -> Asked:
    """A question whose gold documents are the passages that they were cut into."""
    gold: list[str] = []
    for id_ in asked.question.gold_doc_ids:
        name = id_.removeprefix("./")
        whole = [f"{name}#{number}" for number in range(1, passages.get(name, 0) + 1)]
        gold += whole or [id_]
    return replace(asked, question=replace(asked.question, gold_doc_ids=tuple(gold)))
