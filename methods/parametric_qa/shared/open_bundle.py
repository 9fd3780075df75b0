"""The shared parts that a method's parameters ask for: trained ones, or made from the model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from methods.parametric_qa.shared.bundle import Bundle, SelectorConfig, check_style, find_bundle
from methods.parametric_qa.shared.initial import document_tokens, salience_of
from methods.parametric_qa.shared.parts import SharedParts, input_table
from methods.parametric_qa.shared.selection import Selection, SelectionName

if TYPE_CHECKING:
    from harness.data.corpus import Corpus
    from harness.llm.local import LocalModel


def trained_bundle(
    llm: LocalModel, shared: str, selection: Selection | None, size: str | None = None
) -> Bundle:
    """Trained parts by name or folder. Raises InputError naming what is missing or broken.

    ``size`` is one of several that they were trained for; None is their first.

    Another way of selecting than the one that was trained is as it is untrained. Raises ConfigError
    for a model that is asked in another style than the one that they were trained in.
    """
    folder = find_bundle(shared)
    check_style(folder, llm.prompt_style, llm.name)
    bundle = Bundle.load(folder).cut(size).joined(llm)
    selection = "attention" if selection == "words+attention" else selection
    if selection in (None, "words", bundle.selection.name):
        return bundle
    wanted = SelectorConfig(name=cast(SelectionName, selection), width=bundle.selection.width)
    made = Bundle.untrained(bundle.parts, wanted, input_table(llm))
    return replace(bundle, selector=made.selector, selection=made.selection, stop=None)


def untrained_bundle(
    llm: LocalModel,
    corpus: Corpus,
    slots: int | None,
    z_dim: int | None,
    selection: Selection | None,
) -> Bundle:
    """Maps from the model alone; how much tokens tell is counted in the corpus.

    Eight slots as wide as the model, and attention, where nothing is given.

    Raises InputError for a passage without text.
    """
    table = input_table(llm)
    width = table.shape[1]
    parts = SharedParts.from_model(llm, slots or 8, z_dim or width)
    documents = (document_tokens(llm, passage) for passage in corpus)
    parts.salience.copy_(salience_of(documents, len(table)))
    name = cast(SelectionName, selection or "attention")
    wanted = SelectorConfig(name=name, width=min(128, width))
    return Bundle.untrained(parts, wanted, table)
