"""Revising: a method is brought from one state of its corpus to the next, and what that takes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import mkdtemp
from time import perf_counter
from typing import TYPE_CHECKING, Any

from harness.data.corpus_changes import CorpusChanges
from harness.engine import Engine
from harness.errors import ConfigError, RunFailedError
from harness.files import check_slug, read_json, write_json
from harness.llm.base import LanguageModel
from harness.method import Method, writes_memory
from harness.retrieval.base import Retriever
from harness.runs.opening import open_index, open_method
from harness.runs.write_phase import at_work, calling, write_memory

if TYPE_CHECKING:
    from rich.console import Console

    from harness.data.task import TaskData

NOTHING, REVISED, ANEW = "nothing stored", "revised", "written anew"
EXTENDED, REBUILT = "index extended", "index built anew"

_TOLD = ".json"
"""What a state took, in the file beside its folder; written when it is whole."""

Stamp = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Step:
    """One bringing to a changed corpus: ``documents`` changed in it, and how it was done.

    ``written_bytes`` are those of files and of an index that were made for it.
    """

    documents: int
    seconds: float
    written_bytes: int
    how: str


@dataclass(frozen=True, slots=True)
class State:
    """A method that is open over one state of a corpus, its memory in ``place`` if it has one.

    ``steps``: what it took to come here; ``opening``: seconds of loading the memory then.
    ``identical``: documents that did not change and whose every stored byte was compared with the
    state before; None of a method without ``digests``.
    """

    method: Method
    engine: Engine
    data: TaskData
    retriever: Retriever | None
    place: Path | None
    steps: tuple[Step, ...]
    opening: float = 0.0
    identical: int | None = None


def revises(cls: type[Method]) -> bool:
    """Whether a method's memory need not be written anew when its corpus changes."""
    return cls.revise is not Method.revise


def adds_by_itself(retriever: Retriever) -> bool:
    """Whether a retriever need not be opened anew when its corpus changes."""
    return type(retriever).revised is not Retriever.revised


class Reviser:
    """Writes a method's memory in ``folder`` and brings copies of it to changed corpora.

    ``make`` gives the method, new. A state that was given stays as it is and can be changed again,
    otherwise. A state with a ``name`` is kept in ``folder``, so that a kill costs little: what was
    written of it is gone on with, and what it came to is opened again.
    """

    def __init__(
        self,
        make: Callable[[], Method],
        llm: LanguageModel,
        seed: int,
        console: Console,
        folder: Path,
    ) -> None:
        self._make, self._llm, self._seed = make, llm, seed
        self._console, self._folder = console, folder

    def begin(self, data: TaskData, name: str = "") -> State:
        """The method over the corpus as it is at first."""
        method = self._make()
        retriever, index = self._index(method, data)
        engine = self._open(method, data, retriever)
        if not writes_memory(type(method)):
            return State(method, engine, data, retriever, None, _steps(len(data.corpus), index))
        place = self._place(name)
        loaded = write_memory(engine, method, data, place, self._console)
        assert loaded is not None  # it writes a memory
        written = Step(0, loaded.written["seconds"], _size(place / "memory"), ANEW)
        steps = _steps(len(data.corpus), index, written)
        return State(method, engine, data, retriever, place, steps, loaded.seconds)

    def asking(self, state: State) -> AbstractContextManager[None]:
        """The model as the memory of a state changes it; afterwards what it was, bit by bit."""
        return self._llm.changed(state.method.changes)

    def change(
        self, state: State, changes: CorpusChanges, name: str = "", *, one_by_one: bool = True
    ) -> State:
        """The method over the changed corpus.

        One document after the other where everything it has can go on from what there is; all at
        once where something is made anew, since that takes as long for one document as for many,
        and where the method says so (``revises_together``).
        Raises RunFailedError if a revision touched what is kept of another document.
        """
        if state.place is not None and not revises(type(state.method)):
            return self._written_anew(state, changes, name)
        told = self._folder / f"{name}{_TOLD}"
        if name and told.exists():
            return self._opened_again(state, changes, name, read_json(told))
        method, place = self._copied(state, name)
        retriever, data, steps = state.retriever, state.data, list[Step]()
        parts = self._parts(state, changes) if one_by_one else [changes]
        for part in parts:
            data = of_corpus(state.data, part)
            retriever, index = self._index(method, data, part, retriever)
            engine = self._open(method, data, retriever)
            memory = None if place is None else self._revised(engine, method, part, data, place)
            steps += _steps(len(part), index, memory)
        engine, start = self._open(method, data, retriever), perf_counter()
        if place is not None:
            with calling(data.name, "load"):
                method.load(place / "memory")
        found = State(method, engine, data, retriever, place, tuple(steps), perf_counter() - start)
        found = replace(found, identical=_identical(state, found, changes))
        if name and place is not None:
            kept = {key: getattr(found, key) for key in ("opening", "identical")}
            write_json(told, {"steps": list(map(asdict, steps)), **kept})
        return found

    def _opened_again(
        self, state: State, changes: CorpusChanges, name: str, told: Mapping[str, Any]
    ) -> State:
        """A state of an earlier session, with what it took then."""
        method, data = self._make(), of_corpus(state.data, changes)
        retriever, _ = self._index(method, data, changes, state.retriever)
        engine, place = self._open(method, data, retriever), self._folder / name
        with calling(data.name, "load"):
            method.load(place / "memory")
        steps = tuple(Step(**step) for step in told["steps"])
        known = told["opening"], told["identical"]
        return State(method, engine, data, retriever, place, steps, *known)

    def _written_anew(self, state: State, changes: CorpusChanges, name: str) -> State:
        method, data = self._make(), of_corpus(state.data, changes)
        retriever, index = self._index(method, data, changes, state.retriever)
        engine, place = self._open(method, data, retriever), self._place(name)
        loaded = write_memory(engine, method, data, place, self._console)
        assert loaded is not None  # it writes a memory
        written = Step(0, loaded.written["seconds"], _size(place / "memory"), ANEW)
        steps = _steps(len(changes), index, written)
        return State(method, engine, data, retriever, place, steps, loaded.seconds)

    def _copied(self, state: State, name: str) -> tuple[Method, Path | None]:
        """A method that has loaded a copy of the state's memory."""
        method = self._make()
        self._open(method, state.data, state.retriever)
        if state.place is None:
            return method, None
        place = self._place(name)
        # A revision that was killed may have left anything.
        shutil.rmtree(place)
        shutil.copytree(state.place, place)
        with calling(state.data.name, "load"):
            method.load(place / "memory")
        return method, place

    def _parts(self, state: State, changes: CorpusChanges) -> list[CorpusChanges]:
        goes_on = state.retriever is None or adds_by_itself(state.retriever)
        goes_on = goes_on and not state.method.revises_together
        stores = state.retriever is not None or state.place is not None
        return list(changes.one_by_one()) if goes_on and stores else [changes]

    def _index(
        self,
        method: Method,
        data: TaskData,
        changes: CorpusChanges | None = None,
        before: Retriever | None = None,
    ) -> tuple[Retriever | None, Step | None]:
        """The retriever over the data's corpus, of the one before the changes where it can be."""
        start = perf_counter()
        found = None if before is None or changes is None else before.revised(changes)
        if found is None:
            found, how = open_index(method, data.corpus, data.name, self._console), REBUILT
        else:
            how = EXTENDED
        if found is None:
            return None, None
        seconds, built = perf_counter() - start, found.built
        if built is not None and built.cached and built.seconds is not None:
            seconds = built.seconds  # what it took when it was built
        if built is not None and built.bytes is not None:
            made = built.bytes
        else:
            made = sum(found.storage().values())
        return found, Step(0, seconds, made, how)

    def _open(self, method: Method, data: TaskData, retriever: Retriever | None) -> Engine:
        return open_method(method, data, self._seed, self._llm, retriever, window=128)

    def _revised(
        self, engine: Engine, method: Method, changes: CorpusChanges, data: TaskData, place: Path
    ) -> Step:
        memory, scratch = place / "memory", self._place()
        there, start = _stamps(memory), perf_counter()
        with calling(data.name, "revise"):
            at_work(
                engine,
                method,
                changes.corpus,
                scratch,
                self._console,
                lambda: method.revise(changes, data.train, memory),
                "revise",
            )
        seconds = perf_counter() - start
        new = [path for path, stamp in _stamps(memory).items() if there.get(path) != stamp]
        return Step(0, seconds, sum(path.stat().st_size for path in new), REVISED)

    def _place(self, name: str = "") -> Path:
        if not name:
            return Path(mkdtemp(prefix="state-", dir=self._folder))
        place = self._folder / check_slug(name, "state")
        place.mkdir(exist_ok=True)
        return place


def of_corpus(data: TaskData, changes: CorpusChanges) -> TaskData:
    """The task's data over a changed corpus."""
    corpus = changes.corpus
    return replace(data, corpus=corpus, corpus_fingerprint=corpus.fingerprint)


def check_revisable(name: str, method: Method) -> None:
    """Raise ConfigError for a method whose answers say nothing of a changed corpus."""
    if method.card.oracle:
        raise ConfigError(
            f"method '{name}' is shown gold, which is of the unchanged corpus; choose another"
        )


def _steps(documents: int, *parts: Step | None) -> tuple[Step, ...]:
    """The index's part and the memory's as one step of so many documents."""
    done = [part for part in parts if part is not None]
    how = ", ".join(part.how for part in done) or NOTHING
    seconds, written = sum(p.seconds for p in done), sum(p.written_bytes for p in done)
    return (Step(documents, seconds, written, how),)


def _identical(before: State, after: State, changes: CorpusChanges) -> int | None:
    old, new = before.method.digests(), after.method.digests()
    if not old:
        return None
    touched = {*changes.deleted, *(p.id for p in (*changes.updated, *changes.added))}
    others = [id_ for id_ in old if id_ not in touched]
    for id_ in others:
        if new.get(id_) != old[id_]:
            raise RunFailedError(
                f"{after.data.name}: the memory of document {id_!r} changed, though only others "
                "were touched; the method's revise() cannot be trusted"
            )
    return len(others)


def _stamps(folder: Path) -> dict[Path, Stamp]:
    files = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {path: (stat.st_mtime_ns, stat.st_ino) for path, stat in files.items()}


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
