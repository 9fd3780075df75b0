"""The authors' own wording, read out of a checkout of their code, none of which is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InputError
from methods.corag.wording import Wording, wording_of

COMMIT = "4f2a9de"
"""Of microsoft/LMOps, whose prompts have not changed since the checkpoint's release."""
AUTHORS = "ef8e96155d43ea561e57daac9e6c0de650dadfc0a2f5fcf0517cd913d8fb201d"
"""``prompts_fingerprint`` of the wording at that commit."""
SOURCE = f"microsoft/LMOps, corag/src at {COMMIT}"

_PLACES = ("corag/src", "src", ".")
_LARGEST = 1_000_000

_HISTORY = {
    "idx + 1": "number",
    "past_subqueries[idx]": "query",
    "past_subanswers[idx]": "answer",
}
_DOCUMENT = {"idx": "index", "idx + 1": "number", "doc": "document"}
_PROMPT = {
    "past": "history",
    "context.strip()": "documents",
    "task_desc": "task",
    "query": "query",
    "subquery": "query",
}
_SCORED = {"q": "query", "a": "answer"}


def read_checkout(folder: Path) -> Wording:
    """The wording in a checkout of microsoft/LMOps, its folder ``corag`` or ``corag/src``.

    Raises InputError, naming the file, if the code is not there or not the code that this reads.
    """
    found = [folder / place for place in _PLACES if (folder / place / "prompts.py").is_file()]
    if not found:
        raise InputError(
            f"{folder}: holds no corag/src/prompts.py; clone https://github.com/microsoft/LMOps, "
            "or give a file as methods/corag/README.md describes"
        )
    source = found[0]
    prompts = _Module.parse(source / "prompts.py")
    sub_query = prompts.function("get_generate_subquery_prompt")
    sub_answer = prompts.function("get_generate_intermediate_answer_prompt")
    final = prompts.function("get_generate_final_answer_prompt")
    scored = _Module.parse(source / "agent/corag_agent.py").function("_eval_single_path")
    task = _Module.parse(source / "inference/run_inference.py").function("main")
    values = {
        "sub_query": sub_query.template("prompt", _PROMPT),
        "sub_answer": sub_answer.template("prompt", _PROMPT),
        "final_answer": final.template("prompt", _PROMPT),
        "hop": _same(sub_query, final, "past", _HISTORY),
        "nothing_yet": sub_query.alternative("past"),
        "document": sub_answer.template("context", _DOCUMENT),
        "final_document": final.template("context", _DOCUMENT),
        "chain_document": scored.listed("documents", _SCORED),
        "no_information": scored.entry("content"),
        "tasks": {"multi-hop": task.column("task_desc")},
    }
    return wording_of(source, values)


@dataclass(frozen=True, slots=True)
class _Function:
    """A function of the authors' code, as a tree."""

    path: Path
    tree: ast.FunctionDef

    def template(self, variable: str, places: Mapping[str, str]) -> str:
        """The one f-string that is assigned or added to a variable."""
        found = (
            node.value
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Assign | ast.AugAssign) and _targets(node) == [variable]
        )
        return self._template(f"'{variable}'", found, places)

    def listed(self, argument: str, places: Mapping[str, str]) -> str:
        """The f-string of a list comprehension that is a keyword argument of a call."""
        found = (
            node.value.elt
            for node in ast.walk(self.tree)
            if isinstance(node, ast.keyword)
            and node.arg == argument
            and isinstance(node.value, ast.ListComp)
        )
        return self._template(f"'{argument}='", found, places)

    def entry(self, key: str) -> str:
        """The text under a key of a dictionary."""
        found = (
            value
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Dict)
            for name, value in zip(node.keys, node.values, strict=True)
            if _text(name) == key
        )
        return self._one(f"'{key}'", map(_text, found))

    def column(self, name: str) -> str:
        """The text that a data set's new column is filled with."""
        found = (
            _text(node.args[1].elt)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Call)
            and len(node.args) == 2
            and _text(node.args[0]) == name
            and isinstance(node.args[1], ast.ListComp)
        )
        return self._one(f"'{name}'", found)

    def alternative(self, variable: str) -> str:
        """The text that stands for a variable while it is empty."""
        found = (
            _text(node.values[1])
            for node in ast.walk(self.tree)
            if isinstance(node, ast.BoolOp) and ast.unparse(node.values[0]) == variable
        )
        return self._one(f"an alternative to '{variable}'", found)

    def _template(self, what: str, found: Iterator[ast.expr], places: Mapping[str, str]) -> str:
        one = (self._filled(node, places) for node in found if isinstance(node, ast.JoinedStr))
        return self._one(what, one)

    def _filled(self, node: ast.JoinedStr, places: Mapping[str, str]) -> str:
        parts = []
        for part in node.values:
            text = _text(part)
            if text is None:
                assert isinstance(part, ast.FormattedValue)
                value = part.value.values[0] if isinstance(part.value, ast.BoolOp) else part.value
                place = places.get(ast.unparse(value))
                if place is None or part.conversion != -1 or part.format_spec is not None:
                    raise self._other(f"{{{ast.unparse(part.value)}}}", part.lineno)
                text = f"{{{place}}}"
            parts.append(text)
        return "".join(parts)

    def _one(self, what: str, found: Iterator[str | None]) -> str:
        texts = [text for text in found if text is not None]
        if len(texts) != 1:
            raise self._other(f"{len(texts)} times {what} in {self.tree.name}", self.tree.lineno)
        return texts[0]

    def _other(self, what: str, line: int) -> InputError:
        return InputError(
            f"{self.path}, line {line}: {what} is not what this harness reads there; check out "
            f"{COMMIT}, or give a file as methods/corag/README.md describes"
        )


@dataclass(frozen=True, slots=True)
class _Module:
    """A file of the authors' code, parsed and not run."""

    path: Path
    tree: ast.Module

    @classmethod
    def parse(cls, path: Path) -> _Module:
        try:
            if path.stat().st_size > _LARGEST:
                raise ValueError(f"larger than {_LARGEST:,} bytes")
            return cls(path, ast.parse(path.read_text(encoding="utf-8")))
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path}: cannot be read as Python ({reason})") from error

    def function(self, name: str) -> _Function:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return _Function(self.path, node)
        raise InputError(
            f"{self.path}: has no function '{name}'; check out {COMMIT}, or give a file as "
            "methods/corag/README.md describes"
        )


def _same(one: _Function, other: _Function, variable: str, places: Mapping[str, str]) -> str:
    """A template that two functions have in common."""
    first, second = (function.template(variable, places) for function in (one, other))
    if first != second or one.alternative(variable) != other.alternative(variable):
        raise InputError(
            f"{one.path}: {one.tree.name} and {other.tree.name} show a chain differently, which "
            f"this harness does not; check out {COMMIT}"
        )
    return first


def _targets(node: ast.Assign | ast.AugAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _text(node: ast.expr | None) -> str | None:
    """The text of a plain string; None for anything else."""
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return node.value if is_text else None  # type: ignore[union-attr]
