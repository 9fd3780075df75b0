"""The check of a method: ``check_method`` raises what is broken, ``examine`` tells all it found."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

from harness.boards.method_entry import parse_params
from harness.errors import CapabilityError, HarnessError
from harness.llm.base import LanguageModel
from harness.method import Method
from harness.testing import (
    rules_of_answers,
    rules_of_class,
    rules_of_conduct,
    rules_of_folder,
    rules_of_memory,
    rules_of_prefixes,
    rules_of_revising,
    rules_of_train,
    rules_of_weights,
)
from harness.testing.conformance_lab import Lab
from harness.testing.findings import Breach, BrokenRuleError, Findings, Rule
from harness.testing.watch import HungError, Watch

RULES: tuple[Rule, ...] = (
    *rules_of_class.RULES,
    *rules_of_memory.RULES,
    *rules_of_answers.BEFORE,
    *rules_of_folder.RULES,
    *rules_of_revising.RULES,
    *rules_of_answers.AFTER,
    *rules_of_train.RULES,
    *rules_of_conduct.RULES,
    *rules_of_weights.RULES,
    *rules_of_prefixes.RULES,
)
"""Every rule, each after those without which it cannot be checked."""
_SHOWN = 3
"""Breaches of one rule that are told."""


def check_method(
    cls: type[Method],
    params: dict[str, Any] | None = None,
    *,
    model: LanguageModel | None = None,
    max_calls: int = 200,
    seconds: float = 30,
) -> tuple[str, ...]:
    """The rules of a method that ``cls`` was found to keep.

    BrokenRuleError names every rule that it breaks, each with the place and the fix.

    Answers a few questions over a corpus of ten passages, with a model that follows fixed rules,
    in well under a second for most methods. ``params`` differ from the defaults. ``model`` is for
    methods that need more than text and log-probabilities, such as soft prompts: answers are then
    its own, except where a rule is about strange replies. ``max_calls`` of the model or the
    retriever are allowed for one question, and ``seconds`` may pass between two of them (ten times
    as many for writing or loading a memory).
    """
    findings = examine(cls, params, model=model, max_calls=max_calls, seconds=seconds)
    if findings.broken:
        raise BrokenRuleError(findings)
    return findings.kept


def examine(
    cls: type[Method],
    params: dict[str, Any] | None = None,
    *,
    model: LanguageModel | None = None,
    max_calls: int = 200,
    seconds: float = 30,
    imported: Watch | None = None,
    elsewhere: Callable[[], Mapping[str, Any]] | None = None,
) -> Findings:
    """Everything found of a method; arguments as for ``check_method``.

    ``imported`` saw how the class was imported; ``elsewhere`` has another process answer the plain
    questions, and gives its rows by question id. Raises CapabilityError if a model is needed.
    """
    _check_values(cls, params or {})
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(cls, params or {}, model, (max_calls, seconds), Path(folder))
        if imported is not None:
            lab.watch.deeds.update(imported.deeds)
            lab.imported = True
        lab.elsewhere = elsewhere
        kept: list[Rule] = []
        found: dict[Rule, list[Breach] | Rule] = {}
        of_class = len(rules_of_class.RULES)
        _try(RULES[:of_class], lab, kept, found)
        # The adapter that a method brings is merged into a model of one's own but once.
        able = all(rule in kept for rule in rules_of_memory.BASIS)
        with lab.adapted() if able else nullcontext():
            lab.weights = rules_of_weights.weights_of(model)
            _try(RULES[of_class:], lab, kept, found)
    return Findings(
        cls.__name__,
        tuple(rule.name for rule in kept),
        tuple(breach for each in found.values() if isinstance(each, list) for breach in each),
        tuple((rule.name, why.name) for rule, why in found.items() if isinstance(why, Rule)),
    )


def _check_values(cls: type[Method], values: dict[str, Any]) -> None:
    """Raise ConfigError for values that are not the class's; what is wrong with Params itself is
    told by its rules."""
    try:
        parse_params(cls, cls.__name__, values)
    except HarnessError:
        if values:
            raise
    except Exception:
        return


def _try(
    rules: Iterable[Rule], lab: Lab, kept: list[Rule], found: dict[Rule, list[Breach] | Rule]
) -> None:
    """Sort rules into those kept, and those broken or, since another one is, not checked."""
    for rule in rules:
        if not rule.applies(lab):
            continue
        why = next((each for each in rule.after if each in found), None)
        if why is not None:
            root = found[why]
            found[rule] = root if isinstance(root, Rule) else why
        elif breaches := _breaches(rule, lab):
            found[rule] = breaches
        else:
            kept.append(rule)


def _breaches(rule: Rule, lab: Lab) -> list[Breach]:
    try:
        return [Breach(rule.name, *wrong) for wrong in islice(rule.check(lab), _SHOWN)]
    except CapabilityError:
        raise
    except HungError as error:
        return [Breach(rule.name, str(error), "bound every loop and wait for nothing else")]
    # Whatever an author's code may raise, SystemExit among it, is told with its place.
    except (Exception, SystemExit) as error:
        return [Breach(rule.name, lab.code.told(error), "mend what raises it")]
