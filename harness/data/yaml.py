"""YAML that somebody may have sent: plain values, of bounded size, depth and expansion."""

from __future__ import annotations

from typing import Any

import yaml

MOST_CHARACTERS = 2**21
MOST_VALUES = 200_000
"""Values of a document in which every alias stands for all that it names."""
DEEPEST = 64
"""Lists and mappings within each other, aliases followed."""
LONGEST_NUMBER = 400
_NUMBERS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "timestamp"))


class RefusedYaml(yaml.YAMLError):
    """A document that is well-formed and yet not read: too large, too deep, or no value."""


def load_yaml(text: str) -> Any:
    """The values of a document, as ``yaml.safe_load`` gives them.

    Raises yaml.YAMLError for one that is malformed, holds a date or number that is none, or passes
    the limits.
    """
    if len(text) > MOST_CHARACTERS:
        raise RefusedYaml(f"more than {MOST_CHARACTERS:,} characters")
    try:
        _check_depth(text)
        return _values(text)
    except (ValueError, OverflowError, TypeError) as error:
        # Of 2024-02-30, of a list as the key of a mapping, of a character that is none.
        raise RefusedYaml(f"a value cannot be read: {error}") from error


def _values(text: str) -> Any:
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _measure(node, {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_depth(text: str) -> None:
    """Before anything goes through the document level by level."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            _check(depth)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _check(depth: int) -> None:
    if depth > DEEPEST:
        raise RefusedYaml(f"more than {DEEPEST} lists and mappings within each other")


def _measure(node: yaml.Node, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """Values in a node, and how deep they lie. An anchor stands before its aliases, so that no
    chain of them is followed twice."""
    if id(node) in known:
        found = known[id(node)]
        if found is None:
            raise RefusedYaml("an alias stands within what it names")
        return found
    known[id(node)] = None
    below = [_measure(each, known) for each in _parts(node)]
    size = 1 + sum(size for size, _ in below)
    depth = 1 + max((depth for _, depth in below), default=-1)
    if size > MOST_VALUES:
        raise RefusedYaml(f"more than {MOST_VALUES:,} values, what aliases stand for included")
    _check(depth)
    known[id(node)] = size, depth
    return size, depth


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if node.tag in _NUMBERS and len(node.value) > LONGEST_NUMBER:
        raise RefusedYaml(f"a number or date of more than {LONGEST_NUMBER} characters")
    return []
