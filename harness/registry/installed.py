"""Installed plug-ins: the names that packages offer, known from metadata with nothing imported."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from pathlib import Path
from typing import Any

from harness.errors import ConfigError, HarnessError
from harness.files import check_slug, expanded
from harness.registry import importing
from harness.registry.kinds import KINDS, PATHS, Kind, Table, one
from harness.registry.tables import check_offers, tables_of

MODULES = "memory_harness.plugins"
"""The group of modules that hold tables; ``memory_harness.methods`` etc. offer single names."""

_GROUPS: dict[str, Kind] = {f"memory_harness.{kind}": kind for kind in KINDS}
_ENDINGS: dict[Kind, str] = {"boards": ".yaml", "results": ".tar.zst"}


@dataclass(frozen=True, slots=True, repr=False)
class Offer:
    """A name of one kind that an installed package offers by an entry point."""

    kind: Kind
    name: str
    value: str
    """``module:object``; for tasks, boards and results also the package that holds the file."""
    package: str
    """The distribution and its version."""

    def __str__(self) -> str:
        return f"{one(self.kind)} '{self.name}' of {self.package}"

    def __repr__(self) -> str:
        return f"'{self.value}' of {self.package}"

    def load(self) -> Any:
        """The object, or the path of a task's folder or a board's file. Raises ConfigError."""
        try:
            if self.kind in PATHS:
                return self._path()
            return importing.attribute(self.value, str(self))
        except importing.ImportFailedError as error:
            raise ConfigError(f"{self} cannot be loaded from '{self.value}': {error}") from error

    def _path(self) -> Path:
        module, _, name = self.value.partition(":")
        if name:
            value = importing.attribute(self.value, str(self))
            if not isinstance(value, str | Path):
                raise importing.ImportFailedError(f"{value!r} is no path")
            file = importing.import_module(module.strip(), str(self)).__file__
            place = Path(file or "").parent / expanded(value)
        else:
            folder = importing.package_folder(module.strip(), str(self))
            place = folder if self.kind == "tasks" else folder / f"{self.name}{_ENDINGS[self.kind]}"
        wanted = place / "task.yaml" if self.kind == "tasks" else place
        if not wanted.is_file():
            raise importing.ImportFailedError(
                f"there is no {wanted}; is it among the package-data of {self.package}?"
            )
        return place


class Installed:
    """What the packages of this environment offer, and why some of it cannot be used.

    ``registered`` counts the names that modules registered themselves, when they were imported.
    """

    def __init__(self, registered: Callable[[], int]) -> None:
        self._points, unreadable = _entry_points()
        self.broken: dict[str, str] = dict(unreadable)
        """What cannot be used, by name, and why, each in one line."""
        self.used: set[str] = set()
        """Distributions of which a name was used."""
        self._registered = registered

    def offers(self, kind: Kind) -> Mapping[str, Offer]:
        """Names that exactly one package offers, or several for the same object."""
        return {name: each[0] for name, each in self._by_name[kind].items() if not _differ(each)}

    def clash(self, kind: Kind, name: str) -> str | None:
        """Why a name that several packages offer cannot be used; None if they do not."""
        each = self._by_name[kind].get(name, [])
        if not _differ(each):
            return None
        return (
            f"{one(kind)} '{name}' is offered by {' and by '.join(map(_offered_by, each))}; "
            "uninstall one, or give one another name in the table of a --plugin file"
        )

    def clashes(self, kind: Kind) -> Iterator[tuple[str, str]]:
        """Names that several packages offer, and why they cannot be used."""
        for name in self._by_name[kind]:
            if why := self.clash(kind, name):
                yield name, why

    def note_use(self, source: str) -> None:
        """A name of a distribution, or of a plug-in module, was asked for."""
        point = self._modules.get(source)
        self.used.add(_package(point) if point is not None else source)

    @cached_property
    def modules(self) -> Mapping[str, Mapping[Kind, Table]]:
        """Tables of the plug-in modules, which are imported now, once."""
        found: dict[str, Mapping[Kind, Table]] = {}
        for label, point in self._modules.items():
            try:
                before = self._registered()
                module = importing.import_module(point.value, f"plug-in '{label}'")
                tables = tables_of(module, label)
                if self._registered() == before:
                    check_offers(tables, label)
                found[label] = tables
            except HarnessError as error:
                self.broken[label] = str(error)
        return found

    @cached_property
    def _modules(self) -> Mapping[str, EntryPoint]:
        by_name: dict[str, dict[str, EntryPoint]] = defaultdict(dict)
        for point in self._points:
            if point.group == MODULES:
                by_name[point.name].setdefault(point.value, point)
        # Two packages may call their modules the same.
        return {
            name if len(points) == 1 else f"{name} ({_package(point)})": point
            for name, points in by_name.items()
            for point in points.values()
        }

    @cached_property
    def _by_name(self) -> Mapping[Kind, Mapping[str, list[Offer]]]:
        found: dict[Kind, dict[str, list[Offer]]] = {kind: defaultdict(list) for kind in KINDS}
        for point in self._points:
            if (kind := _GROUPS.get(point.group)) is None:
                continue
            offer = Offer(kind, point.name, point.value, _package(point))
            try:
                found[kind][check_slug(offer.name, one(kind))].append(offer)
            except HarnessError as error:
                self.broken[str(offer)] = str(error)
        return {kind: dict(names) for kind, names in found.items()}


@cache
def _entry_points() -> tuple[tuple[EntryPoint, ...], Mapping[str, str]]:
    """Those of our groups, and packages whose entry points cannot be read, with the reason."""
    try:
        found = entry_points()
        return tuple(p for group in (MODULES, *_GROUPS) for p in found.select(group=group)), {}
    # One package's broken file hides those of all others.
    except Exception:
        return _one_by_one()


def _one_by_one() -> tuple[tuple[EntryPoint, ...], Mapping[str, str]]:
    points: list[EntryPoint] = []
    unreadable: dict[str, str] = {}
    for package in distributions():
        try:
            points += [p for p in package.entry_points if p.group in (MODULES, *_GROUPS)]
        except Exception as error:
            why = f"{type(error).__name__}: {' '.join(str(error).split())}"
            unreadable[_called(package)] = f"its entry_points.txt cannot be read ({why})"
    return tuple(points), unreadable


def _differ(offers: list[Offer]) -> bool:
    return len({offer.value for offer in offers}) > 1


def _offered_by(offer: Offer) -> str:
    return f"{offer.package} ({offer.value})"


def _package(point: EntryPoint) -> str:
    return _called(point.dist) if point.dist is not None else point.value


def _called(package: Distribution) -> str:
    # Metadata that is gone or has no name gives None.
    name = package.metadata["Name"] if package.metadata is not None else None
    return f"{name} {package.version}" if name else f"a package in {package.locate_file('')}"
