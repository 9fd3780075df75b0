"""Labels of rows: a method with its parameters in full, and short names for narrow tables.

A full label, such as ``adaptive-rag (bias_questions=50, max_passages=10)``, is the same in every
table and file. The short name keeps what tells it from the other rows, and a footnote has the rest.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, NamedTuple

from harness.escape import one_line, shortened
from harness.fingerprint import canonical_json, fingerprint
from harness.runs.manifest import Manifest
from leaderboards.external import shown_as

LONGEST = 24
"""Characters of a short name with parameters that tell rows apart, its mark left out."""
_LONGEST_ALONE = 20
_LONGEST_METHOD = 28
_LONGEST_VALUE = 60
_LONGEST_LABEL = 400
_MOST_PARAMETERS = 12
_DIGEST = re.compile(r"[0-9a-f]{32,}")
_MARK = re.compile(r" \d+$")
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


class Labelled(NamedTuple):
    """A row, as far as its name goes: the full label, the method, parameters not the default."""

    label: str
    method: str
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Name:
    """What a row is called in a table: ``adaptive-rag ¹``, and what its footnote says."""

    short: str
    number: int = 0
    footnote: str = ""

    @property
    def mark(self) -> str:
        """The number of the footnote, raised; empty without one."""
        return str(self.number).translate(_SUPERSCRIPTS) if self.number else ""

    @property
    def text(self) -> str:
        """The name with its mark."""
        return f"{self.short} {self.mark}" if self.mark else self.short


def full_label(manifest: Manifest) -> str:
    """Name a row by its method and the parameters that are not the default: ``bm25 (k=10)``."""
    name = manifest.config.method.name
    if manifest.external:
        return shortened(one_line(shown_as(manifest.external, name)), _LONGEST_LABEL)
    return _with(name, manifest.non_default_params)


def written(values: Mapping[str, Any]) -> str:
    """Settings on one line, long values cut: ``k=10, retriever=e5``."""
    return ", ".join(f"{name}={_short(value)}" for name, value in sorted(values.items()))


def identity(manifest: Manifest) -> str:
    """What decides the predictions of a run, but for its seed and its questions."""
    return canonical_json(manifest.identity())


def row_labels(manifests: Sequence[Manifest]) -> dict[str, str]:
    """The label of each identity: every method with its parameters has its own in all tables."""
    rows = _row_identities(manifests)
    names = {rows[identity(m)]: full_label(m) for m in manifests}
    taken = list(names.values())
    labels = {
        row: name if taken.count(name) == 1 else f"{name} variant {fingerprint(row)[:6]}"
        for row, name in names.items()
    }
    return {identity: labels[row] for identity, row in rows.items()}


def _row_identities(manifests: Sequence[Manifest]) -> dict[str, str]:
    """What makes a row, for each identity: that itself, or what revisions of a retriever share.

    Which revision a run has may depend on the letters of its corpus, so a row has several in a mean
    or over growing corpora. Two in one table are of an earlier and a later release, so two rows.
    """
    tables: dict[str, dict[str, set[str]]] = {}
    for manifest in manifests:
        alike = tables.setdefault(canonical_json(of_any_revision(manifest)), {})
        table = canonical_json(manifest.comparable(None))
        alike.setdefault(identity(manifest), set()).add(table)
    rows: dict[str, str] = {}
    for shared, alike in tables.items():
        met = sum(map(len, alike.values())) > len(set().union(*alike.values()))
        rows |= {each: each if met or len(alike) == 1 else shared for each in alike}
    return rows


def of_any_revision(manifest: Manifest) -> dict[str, Any]:
    """What makes a row, but for its retriever's revision, which its corpus may decide."""
    retriever = manifest.config.retriever or {}
    # A number is a release's; an encoder's is a commit.
    same = {k: v for k, v in retriever.items() if k != "revision" or not isinstance(v, int)}
    return {**manifest.identity(), "retriever": same}


def short_names(rows: Iterable[Labelled]) -> dict[str, Name]:
    """Short names by full label, footnotes numbered in the order of the rows."""
    known = {row.label: row for row in rows}
    alike: dict[str, list[Labelled]] = {}
    for label in sorted(known):
        alike.setdefault(_head(known[label]), []).append(known[label])
    texts = {
        row.label: text
        for head, members in alike.items()
        for row, text in zip(members, _told_apart(head, members), strict=True)
    }
    shown = {
        label: Name(label) if texts[label] == label else Name(texts[label], 1, label)
        for label in known
    }
    return numbered(shown, shown)


def numbered(labels: Iterable[str], names: Mapping[str, Name]) -> dict[str, Name]:
    """The names of these rows, with footnotes 1, 2, 3 as they come: each table has its own."""
    found: dict[str, Name] = {}
    number = 0
    for label in labels:
        name = names[label]
        number += bool(name.footnote)
        found[label] = replace(name, number=number) if name.footnote else name
    return found


def find_label(given: str, names: Mapping[str, Name]) -> str | None:
    """The full label that ``given`` means; None where no row or more than one is meant."""
    found = meant(given, names)
    return found[0] if len(found) == 1 else None


def meant(given: str, names: Mapping[str, Name]) -> list[str]:
    """The full labels that ``given`` may mean: itself, or a short name with a mark or without.

    A mark, which may be typed as a digit (``ircot 2``), tells no rows apart: another table, or the
    same one sorted, has other numbers.
    """
    if given in names:
        return [given]
    wanted = _typed(given)
    short = [label for label, name in names.items() if _typed(name.short) == wanted]
    unmarked = _MARK.sub("", wanted)
    return short or [label for label, name in names.items() if _typed(name.short) == unmarked]


def _with(name: str, params: Mapping[str, Any]) -> str:
    text = one_line(f"{name} ({written(params)})" if params else name)
    return shortened(text, _LONGEST_LABEL) or "unnamed"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else canonical_json(value)
    return f"{text[:12]}..." if _DIGEST.fullmatch(text) else shortened(text, _LONGEST_VALUE)


def _head(row: Labelled) -> str:
    """The method's name, with what is in the label beside its parameters."""
    return one_line(row.method) + row.label.removeprefix(_with(row.method, row.params))


def _told_apart(head: str, rows: Sequence[Labelled]) -> list[str]:
    """Texts of rows of one method by as few of their parameters as tell them apart.

    Nothing but the method where that would be long: then marks tell them apart.
    """
    if len(rows) == 1:
        is_short = len(rows[0].label) <= (_LONGEST_ALONE if rows[0].params else _LONGEST_METHOD)
        return [rows[0].label if is_short else shortened(head, _LONGEST_METHOD)]
    differing = sorted(
        name
        for name in {name for row in rows for name in row.params}
        if len({canonical_json(row.params.get(name)) for row in rows}) > 1
    )
    sizes = (1, 2) if len(differing) <= _MOST_PARAMETERS else (1,)
    found = [
        texts
        for size in sizes
        for names in combinations(differing, size)
        if len(set(texts := [_by(head, row, names) for row in rows])) == len(rows)
        and max(map(len, texts)) <= LONGEST
    ]
    return min(
        found,
        key=lambda texts: sum(map(len, texts)),
        default=[shortened(head, _LONGEST_METHOD)] * len(rows),
    )


def _by(head: str, row: Labelled, names: Sequence[str]) -> str:
    chosen = {name: row.params[name] for name in names if name in row.params}
    return one_line(f"{head} ({written(chosen)})" if chosen else head)


def _typed(text: str) -> str:
    """As someone would type it: marks of footnotes are digits, signs beside the name are left."""
    plain = unicodedata.normalize("NFKC", text).partition(" \u2020")[0]
    return " ".join(plain.split()).casefold()
