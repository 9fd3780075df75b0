"""The card of a task, ``task.yaml``: what it is, whose it is, where its full data lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import InputError, did_you_mean, problem_of
from harness.files import check_slug
from harness.metrics import Rules, added_metrics, check_metrics


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HubSource(_Frozen):
    """Where the full dataset lives on the Hugging Face hub."""

    repo: str
    folder: str
    revision: str | None = None
    """Commit, tag or branch; None resolves the default branch now and records the commit."""
    splits: dict[str, str]
    """Split name -> file name inside ``folder``."""
    corpus: str | None = None
    """Path of the corpus inside the repository."""


class Citation(_Frozen):
    """A paper to cite when using the task."""

    key: str
    text: str


class TaskCard(_Frozen):
    """What a reader of a board needs to know about a task: the content of ``task.yaml``."""

    name: str
    title: str
    version: int = Field(1, ge=1)
    """Raised whenever shipped data changes, so that scores of two versions never mix."""
    hops: Literal["single", "multi"] | None = None
    """Whether an answer takes one document or several put together; None if nobody says."""
    metrics: tuple[str, ...] = ()
    """``em``, ``f1``, ``contains`` and retrieval are always scored; others only if named here."""
    gold: Literal["all", "any"] = "all"
    """Whether an answer takes all gold documents (several hops), or any of them gives it."""
    closed_answers: bool = False
    """F1 gives "yes", "no" and "noanswer" nothing for a partial overlap (HotpotQA's rule)."""
    licence: str = ""
    homepage: str = ""
    citations: tuple[Citation, ...] = ()
    sources: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    hub: HubSource | None = None
    checksums: dict[str, str] = Field(default_factory=dict)
    """Path below the task's folder -> SHA-256 of the shipped file."""

    @property
    def rules(self) -> Rules:
        """How the task is scored, where tasks differ."""
        return Rules(self.gold, self.closed_answers)

    @property
    def scored_by(self) -> dict[str, Any]:
        """What is asked of the scores of a run, as its manifest says it."""
        return {"metrics": added_metrics(self.metrics), "scoring": self.rules}

    @property
    def scored_otherwise(self) -> dict[str, Any]:
        """What of ``scored_by`` is not the default, which a manifest leaves out."""
        return {k: v for k, v in self.scored_by.items() if v not in ((), Rules())}


@dataclass(frozen=True, slots=True)
class Task:
    """A task by its card; ``folder`` holds the shipped sample, None for a custom task."""

    card: TaskCard
    folder: Path | None = None

    @property
    def name(self) -> str:
        """The name used on the command line, in boards and in tables."""
        return self.card.name

    @classmethod
    def from_folder(cls, path: str | Path) -> Task:
        """Read ``task.yaml`` in a folder, or a card's own file.

        Raises InputError naming the key and the fix.
        """
        import yaml

        from harness.data.yaml import load_yaml

        path = Path(path)
        file = path if path.suffix in (".yaml", ".yml") else path / "task.yaml"
        try:
            values = load_yaml(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{file}: cannot be read ({error}); expected a task card") from error
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{file}: not valid YAML ({reason})") from error
        if not isinstance(values, dict):
            raise InputError(f"{file}: is not a mapping; expected keys such as 'name' and 'title'")
        return cls(_parse_card(file, values), file.parent)


def custom_task(name: str) -> Task:
    """A task outside the table, for a user's own files. Raises InputError for an unsafe name."""
    check_slug(name, "task")
    return Task(TaskCard(name=name, title=name))


def _parse_card(file: Path, values: dict[str, Any]) -> TaskCard:
    try:
        card = TaskCard.model_validate(values)
    except ValidationError as error:
        found = problem_of(error)
        if found.is_unknown:
            models: dict[Any, type[BaseModel]] = {"hub": HubSource, "citations": Citation}
            model = TaskCard if len(found.path) == 1 else models[found.path[0]]
            hint = did_you_mean(found.key, list(model.model_fields))
            raise InputError(f"{file}: unknown key '{found.where}'{hint}") from error
        raise InputError(f"{file}: '{found.where}': {found.message}; correct the card") from error
    check_slug(card.name, "task")
    check_metrics(card.metrics, f"{file}: 'metrics'", card.rules)
    return card
