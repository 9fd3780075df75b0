"""External rows: results of another program, placed in the tables of our runs on their questions.

Their model is another, so they would stand alone in tables of their own. Whoever imports them wants
them beside the runs, so they join every table of their questions, under their own model's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness.escape import one_line
from harness.fingerprint import canonical_json
from harness.runs.external import External
from harness.runs.manifest import ModelSettings
from leaderboards.collect import Run

_ALONE = ModelSettings(name="external")


def placed(runs: Sequence[Run]) -> list[Run]:
    """The runs, each external one once for every table that it joins.

    It takes the table's model there, only in memory; where there is no table, all external ones of
    the same questions make one.
    """
    tables: dict[str, dict[str, ModelSettings]] = {}
    for run in runs:
        if run.manifest.external is None:
            model = run.manifest.config.model
            settings = canonical_json({**model.written(), "name": model.called})
            tables.setdefault(_questions(run), {})[settings] = model
    found: list[Run] = []
    for run in runs:
        if run.manifest.external is None:
            found.append(run)
        else:
            models = tables.get(_questions(run), {}).values() or [_ALONE]
            found += [_beside(run, model) for model in models]
    return found


def shown_as(external: External, name: str) -> str:
    """The name of a row: what the user called it, and the model that its results name."""
    return f"{name} [{external.model}]"


def external_lines(runs: Iterable[Run]) -> list[str]:
    """Of each external row where it came from and what is not known of it, for a caption."""
    found = {
        _line(run.manifest.external, run.manifest.config.method.name): None
        for run in runs
        if run.manifest.external is not None
    }
    return list(found)


def _line(external: External, name: str) -> str:
    how = ", ".join(f"{key}={value}" for key, value in sorted(external.told.items()))
    corpus = (
        "All passages that they name are of this corpus."
        if external.corpus == "same"
        else "They are not known to be of this corpus, so they have no Recall and take no part in "
        "the comparison."
    )
    return one_line(
        f"\u2020external: {shown_as(external, name)}: answers of {external.source} with model "
        f"{external.model} ({how}), imported and scored here, not run; their latency, memory and "
        f"cost are not known. {corpus}"
    )


def _beside(run: Run, model: ModelSettings) -> Run:
    config = run.manifest.config.model_copy(update={"model": model})
    return replace(run, manifest=run.manifest.model_copy(update={"config": config}))


def _questions(run: Run) -> str:
    """All in which rows of one table agree, but for the model."""
    settings = run.manifest.comparable(run.metrics_version)
    return canonical_json({k: v for k, v in settings.items() if not k.startswith("model.")})
