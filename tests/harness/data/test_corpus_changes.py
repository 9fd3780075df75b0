"""What a corpus is after documents were added, updated and deleted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.data.corpus import Corpus
from harness.data.corpus_changes import CorpusChanges
from harness.errors import InputError
from harness.records import Passage

IDS = [f"d{n}" for n in range(6)]
NEW = [f"n{n}" for n in range(3)]


def corpus() -> Corpus:
    return Corpus.from_passages(Passage(id_, "", f"text of {id_}") for id_ in IDS)


@given(
    st.dictionaries(st.sampled_from(IDS), st.sampled_from(["update", "delete"]), max_size=5),
    st.lists(st.sampled_from(NEW), unique=True),
)
def test_one_by_one_makes_the_corpus_of_all_at_once(fates, new):
    updated = [Passage(id_, "", "other text") for id_, fate in fates.items() if fate == "update"]
    deleted = [id_ for id_, fate in fates.items() if fate == "delete"]
    added = [Passage(id_, "", "new text") for id_ in new]
    whole = CorpusChanges.of(corpus(), added=added, updated=updated, deleted=deleted)
    kept = [id_ for id_ in IDS if id_ not in deleted]
    assert list(whole.corpus.ids) == [*kept, *new]
    for id_ in kept:
        text = "other text" if fates.get(id_) == "update" else f"text of {id_}"
        assert whole.corpus.get(id_).text == text
    singles = list(whole.one_by_one())
    assert (
        [len(single) for single in singles]
        == [1] * len(whole)
        == [1] * len(fates | dict.fromkeys(new))
    )
    last = singles[-1].corpus if singles else whole.before
    assert last.fingerprint == whole.corpus.fingerprint


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"deleted": ["x"]}, "no document 'x' in the corpus to update or delete"),
        ({"updated": [Passage("x", "", "y")]}, "no document 'x' in the corpus"),
        ({"added": [Passage("d1", "", "y")]}, "document 'd1' is in the corpus already; update it"),
        ({"deleted": ["d1", "d1"]}, "document 'd1' is changed twice"),
        ({"deleted": ["d1"], "updated": [Passage("d1", "", "y")]}, "'d1' is changed twice"),
        ({"deleted": IDS}, "holds no passages"),
        ({"added": [Passage("x", "", " ")]}, "'x' is empty"),
    ],
)
def test_changes_that_cannot_be_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        CorpusChanges.of(corpus(), **changes)
