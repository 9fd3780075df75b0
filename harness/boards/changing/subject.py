"""Subject of an evaluation: methods by name with their parameters, checked, and a model opened."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.boards.check import Expected, check_data
from harness.boards.config import MethodEntry
from harness.boards.learnt import learnt_by
from harness.boards.method_entry import load_method, own_name, parse_params
from harness.boards.needs import check_needs
from harness.boards.shots import fit_shots
from harness.data.trained_on import check_untrained, warn_of_unknown
from harness.errors import ConfigError, HarnessError, RunFailedError
from harness.llm.catalogue import resolve_model
from harness.llm.model_config import ModelConfig
from harness.method import Method, MethodParams
from harness.registry import names
from harness.retrieval.open import check_retriever
from harness.runs.revising import check_revisable

if TYPE_CHECKING:
    from harness.data.task import TaskData
    from harness.llm.base import LanguageModel


@dataclass(frozen=True, slots=True)
class Subject:
    """A method with parameters; ``label`` is what tables call it."""

    label: str
    cls: type[Method]
    params: MethodParams

    def new(self, data: TaskData) -> Method:
        """The method, not yet opened, with as many demonstrations as the task has."""
        return self.cls(fit_shots(self.params, data))

    def in_force(self, llm: LanguageModel) -> AbstractContextManager[None]:
        """The model with the weights that the method brings, as they were before afterwards."""
        return llm.adapted(self.cls(self.params).adapter)

    @property
    def touches_weights(self) -> bool:
        """Whether the model answers with other weights than its own, be it a question's own."""
        method = self.cls(self.params)
        return method.adapter is not None or bool(method.needs_now & {"adapters", "weights"})


def subjects_of(entries: Sequence[MethodEntry]) -> list[Subject]:
    """Methods by their entries.

    Raises ConfigError for one that is unknown, named twice, or whose answers say nothing of a
    changed corpus.
    """
    found = []
    for entry in entries:
        cls = load_method(entry.name)
        params = parse_params(cls, entry.name, entry.params)
        check_revisable(own_name(entry.name), cls(params))
        found.append(Subject(entry.name, cls, params))
    labels = [subject.label for subject in found]
    for label in labels:
        if labels.count(label) > 1:
            raise ConfigError(f"method '{label}' is named twice; give each once")
    return found


def every_method(model: ModelConfig) -> tuple[list[str], dict[str, str]]:
    """Names of the methods that can be evaluated with this model, and why the others cannot."""
    found, left_out = [], {}
    for name in names("methods"):
        try:
            (subject,) = subjects_of([MethodEntry(name=name)])
            check_files([subject], model)
            if subject.cls.needs_tokens:  # which a model has is known when it is open
                raise ConfigError(f"method '{name}' needs its own checkpoint; name it alone")
        except HarnessError as error:
            left_out[name] = str(error)
        else:
            found.append(name)
    return found, left_out


def check_files(subjects: Sequence[Subject], model: ModelConfig) -> None:
    """Raise HarnessError for a model of another kind than methods need, and for files of methods
    that are missing or do not fit it; before any data are read."""
    from harness.boards.run import inputs_of

    for subject in subjects:
        method = subject.cls(subject.params)
        check_needs(subject.label, method, Expected.of(model))
        inputs_of(method)
        method.check_entry(model)


def untrained_data(data: TaskData, subjects: Sequence[Subject], model: ModelConfig) -> TaskData:
    """The task's data without what methods or model were trained on; the same for all methods."""
    learnt = [part for subject in subjects for part in subject.cls(subject.params).trained_on()]
    learnt += learnt_by(model)
    warn_of_unknown(learnt)
    return check_untrained(data, learnt, leave_out=True)


def check_subjects(subjects: Sequence[Subject], data: TaskData) -> None:
    """Raise HarnessError for what would stop an evaluation of these data, before any model is
    loaded; ``check_files`` came before."""
    for subject in subjects:
        method = subject.new(data)
        check_data(method, data)
        if method.retriever_name is not None:
            check_retriever(method.retriever_name, data.corpus, method.retriever_settings)
        method.check_write(data.train)


def open_subjects_model(
    name: str, device: str | None, subjects: Sequence[Subject], data: TaskData
) -> LanguageModel:
    """The model, which has what all of the methods need."""
    from harness.llm.open import open_model

    llm = open_model(resolve_model(name), device=device)
    for subject in subjects:
        method = subject.new(data)
        check_needs(subject.label, method, llm)
        method.check_model(llm)
    return llm


@contextmanager
def restored(subject: Subject, llm: LanguageModel) -> Iterator[bool]:
    """Compare the model's weights before and after a method that changes them; whether it is done.

    Raises RunFailedError if a bit differs.
    """
    if not (subject.touches_weights and shows_weights(llm)):
        yield False
        return
    before = _digest(llm)
    yield True
    if _digest(llm) != before:
        raise RunFailedError(
            f"method '{subject.label}' left the model's weights changed; 'check-method' tells more"
        )


def shows_weights(llm: LanguageModel) -> bool:
    """Whether the weights of a model can be compared."""
    return hasattr(llm, "runtime")


def _digest(llm: Any) -> str:
    from harness.llm.edits import weights_digest

    return weights_digest(llm.runtime.model)
