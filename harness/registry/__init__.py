"""Names to things: the house's own, those of ``--plugin`` and those of installed packages.

The lowest layer: it imports nothing that it names before somebody asks for it. Names are looked for
in this order, and the first place that has one gives it: the house, ``--plugin`` and ``register``,
entry points of single names (known from metadata), tables in modules of installed plug-ins, which
have to be imported for it. No name replaces one that another place has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import ConfigError, did_you_mean
from harness.files import check_slug
from harness.registry import house
from harness.registry.house import HOUSE as HOUSE
from harness.registry.importing import import_plugin
from harness.registry.installed import Installed, Offer
from harness.registry.kinds import KINDS as KINDS
from harness.registry.kinds import Kind as Kind
from harness.registry.kinds import Table
from harness.registry.kinds import one as one
from harness.registry.tables import by_name, check_offers, tables_of
from harness.registry.things import resolve as resolve
from harness.registry.things import same
from harness.registry.things import thing as thing

_plugins: dict[str, dict[Kind, dict[str, Any]]] = {}
"""What this process was given, by source: ``--plugin`` and ``register``."""
_HERE = "this process"


def sources(kind: Kind) -> Iterator[tuple[str, Table]]:
    """Where names of one kind come from, and each place's table, the house's own first.

    Modules of installed plug-ins are imported when the iteration comes to them; what is ``broken``
    is in no table.
    """
    yield from _known_sources(kind)
    yield from _module_sources(kind)


def names(kind: Kind) -> list[str]:
    """Every name of one kind, sorted; no name's own thing is loaded, but plug-in modules are."""
    return sorted({name for _, table in sources(kind) for name in table})


def added(kind: Kind) -> dict[str, Any]:
    """What plug-ins add to the house's names of one kind, unloaded."""
    own = {name for _, table in house.tables(kind) for name in table}
    found = {name: target for _, table in sources(kind) for name, target in table.items()}
    return {name: target for name, target in found.items() if name not in own}


def is_known(kind: Kind, name: str) -> bool:
    """Whether anything offers a name; plug-in modules are imported only if nothing else does."""
    return declares(kind, name) or any(name in table for _, table in _module_sources(kind))


def declares(kind: Kind, name: str) -> bool:
    """Whether a name is known without importing any plug-in."""
    is_there = any(name in table for _, table in _known_sources(kind))
    return is_there or _installed().clash(kind, name) is not None


def find(kind: Kind, name: str) -> Any:
    """What a table says of a name, unloaded; ConfigError with a suggestion if none does."""
    for source, table in _known_sources(kind):
        if name in table:
            if isinstance(table[name], Offer):
                _installed().note_use(source)
            return table[name]
    if clash := _installed().clash(kind, name):
        raise ConfigError(clash)
    for source, table in _module_sources(kind):
        if name in table:
            if source not in _plugins:
                _installed().note_use(source)
            return table[name]
    raise ConfigError(
        f"unknown {one(kind)} '{name}'{did_you_mean(name, names(kind))}{broken_note()}"
    )


def plugin_sources() -> list[str]:
    """What ``load_plugin`` was given, in order."""
    return [source for source in _plugins if source != _HERE]


def given_here() -> list[tuple[Kind, str, Any]]:
    """Kind, name and target of everything that ``register`` was given."""
    tables = _plugins.get(_HERE, {}).items()
    return [(kind, name, target) for kind, table in tables for name, target in table.items()]


def packages_used() -> dict[str, str]:
    """Installed packages whose names were found in this process, and their versions."""
    return dict(package.rsplit(" ", 1) for package in sorted(_installed().used))


def load(kind: Kind, name: str) -> Any:
    """The class, function, path or other thing of a name. Raises ConfigError if it cannot be."""
    return thing(kind, find(kind, name), f"{one(kind)} '{name}'")


def load_fields(kind: Kind, name: str) -> Mapping[str, Any]:
    """The fields of a catalogue's entry. Raises ConfigError if it is anything else."""
    fields = load(kind, name)
    if not isinstance(fields, Mapping):
        raise ConfigError(f"{one(kind)} '{name}': {fields!r} is not a dictionary of fields")
    return fields


def task_folder(name: str) -> Path:
    """Folder of a known task; ConfigError with a suggestion otherwise."""
    return Path(load("tasks", name))


def board_file(name: str) -> Path:
    """A board by name or by path to a YAML file."""
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return Path(name)
    return Path(load("boards", name))


def register(kind: Kind, name: str, target: Any) -> None:
    """Add a name in this process: an object, or ``"module:attribute"`` to load when first used."""
    check_slug(name, one(kind))
    _add(_HERE, {kind: {name: target}})


def register_method(name: str, target: Any) -> None:
    """Add a method under a name: a class, or ``"module:Class"`` to load when first used."""
    register("methods", name, target)


def load_plugin(source: str) -> None:
    """Import a plug-in, a module name or a .py file, with tables such as METHODS.

    METHODS, COMMANDS, PREPARATIONS, RETRIEVERS, METRICS and FORMATS map names to objects or
    ``"module:attribute"``; TASKS to folders that hold a task.yaml, BOARDS to YAML files and RESULTS
    to packed runs, all beside the plug-in unless absolute; MODELS and ENCODERS to fields of their
    catalogues' entries.
    """
    before, module = _size(), import_plugin(source)
    tables = tables_of(module, source)
    # A module may also have registered names itself, when it was imported, now or before.
    if _size() == before and source not in _plugins:
        check_offers(tables, source)
    _add(source, tables)


def broken(*, tried: bool = False) -> Mapping[str, str]:
    """What of installed plug-ins cannot be used, and why, each in one line.

    ``tried`` imports everything that they offer; else faults inside single names stay unseen.
    """
    for kind in KINDS:
        if not (_installed().offers(kind) or any(t[kind] for t in _installed().modules.values())):
            continue
        for _, table in [*_known_sources(kind), *_module_sources(kind)]:
            for target in table.values() if tried else ():
                if isinstance(target, Offer):
                    _try(target)
    return {**_installed().broken, **{name: why for kind in KINDS for name, why in unusable(kind)}}


def unusable(kind: Kind) -> Iterator[tuple[str, str]]:
    """Names of one kind that several packages offer, so that none of them is taken, and why."""
    for name, why in _installed().clashes(kind):
        if not any(name in table for _, table in _own_sources(kind)):
            yield name, why


def broken_note() -> str:
    """The end of an error about an unknown name: it may be of a plug-in that is broken."""
    return "".join(f"; {line}" for line in complaints(_installed().broken))


def complaints(found: Mapping[str, str]) -> list[str]:
    """What is ``broken``, each in a line."""
    called = {name if " " in name else f"'{name}'": why for name, why in found.items()}
    return [f"plug-in {name} cannot be used: {why}" for name, why in called.items()]


def _own_sources(kind: Kind) -> Iterator[tuple[str, Table]]:
    """The house's tables and those that this process was given."""
    yield from house.tables(kind)
    for source, tables in list(_plugins.items()):
        yield source, tables.get(kind, {})


def _known_sources(kind: Kind) -> Iterator[tuple[str, Table]]:
    """Tables that are known without importing an installed plug-in."""
    own: dict[str, str] = {}
    for source, table in _own_sources(kind):
        own |= dict.fromkeys(table, source)
        yield source, table
    offered: dict[str, dict[str, Offer]] = {}
    for name, offer in _installed().offers(kind).items():
        if name not in own:
            offered.setdefault(offer.package, {})[name] = offer
        elif own[name] not in _plugins:  # one that was given is the same: see _add
            _installed().broken[str(offer)] = str(_taken(kind, name, own[name]))
    yield from offered.items()


def _module_sources(kind: Kind) -> Iterator[tuple[str, Table]]:
    """Tables of installed plug-in modules, without names that another place has."""
    taken = by_name(_known_sources(kind))
    modules = {source: tables[kind] for source, tables in _installed().modules.items()}
    for source, table in _own_sources(kind):  # a module may register names when it is imported
        if new := {name: target for name, target in table.items() if name not in taken}:
            yield source, new
    for source, table in modules.items():
        others = by_name(each for each in modules.items() if each[0] != source)
        kept, faults = {}, []
        for name, target in table.items():
            rival = taken.get(name) or others.get(name)
            if rival is not None and not same(kind, target, rival[1]):
                faults.append(str(_taken(kind, name, rival[0])))
            elif name not in taken:
                kept[name] = target
        if faults:
            _installed().broken[source] = "; ".join(faults)
        yield source, kept


def _try(offer: Offer) -> None:
    try:
        thing(offer.kind, offer, str(offer))
    except ConfigError as error:
        _installed().broken[str(offer)] = str(error)


def _add(source: str, tables: Mapping[Kind, Table]) -> None:
    for kind, table in tables.items():
        taken = by_name(_known_sources(kind) if table else ())
        for name, target in table.items():
            # The same plug-in twice changes nothing, as for any import.
            if name in taken and not same(kind, target, taken[name][1]):
                raise _taken(kind, name, taken[name][0])
            if clash := _installed().clash(kind, name):
                raise ConfigError(clash)
    place = _plugins.setdefault(source, {kind: {} for kind in KINDS})
    for kind, table in tables.items():
        place[kind].update(table)


def _taken(kind: Kind, name: str, source: str) -> ConfigError:
    return ConfigError(f"{one(kind)} '{name}' exists already, in {source}; choose another name")


def _size() -> int:
    return sum(len(table) for tables in _plugins.values() for table in tables.values())


@cache
def _installed() -> Installed:
    return Installed(_size)
