from __future__ import annotations

import pytest
from pydantic import Field, ValidationError

from harness.boards.method_entry import load_method, own_name, parse_params
from harness.errors import ConfigError
from harness.method import Method, MethodCard, MethodParams, later
from harness.records import Passage, Prediction, StorageReport
from harness.registry import register_method
from harness.testing.models import small_task


class Plain(Method):
    class Params(MethodParams):
        k: int = Field(5, ge=1, description="passages")

    async def answer(self, query):
        return Prediction("")


def test_defaults_are_used_without_parameters():
    assert Plain().params == Plain.Params(k=5, shots=4)


def test_values_are_checked_and_converted():
    assert parse_params(Plain, "plain", {"k": "7"}).k == 7


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"K": 3}, r"method 'plain' has no parameter 'K'; did you mean 'k'\?"),
        ({"k": 0}, r"method 'plain': parameter 'k' = 0: .*greater than or equal to 1"),
        ({"k": "many"}, r"parameter 'k' = 'many'"),
        ({"shots": -1}, r"parameter 'shots' = -1"),
    ],
)
def test_wrong_parameters_name_method_parameter_and_fix(values, message):
    with pytest.raises(ConfigError, match=message):
        parse_params(Plain, "plain", values)


def test_parameters_cannot_change_afterwards():
    with pytest.raises(ValidationError):
        Plain().params.k = 9


def test_a_method_without_memory_stores_nothing(tmp_path):
    method = Plain()
    data = small_task()
    method.write(data.corpus, data.train, tmp_path)
    method.load(tmp_path)
    assert method.storage() == StorageReport({}, 0)
    assert method.retriever_name is None
    assert list(tmp_path.iterdir()) == []


def test_the_retriever_is_a_parameter():
    class Retrieving(Plain):
        class Params(Plain.Params):
            retriever: str = Field("bm25", description="catalogue name")

    assert Retrieving(Retrieving.Params(retriever="e5")).retriever_name == "e5"


def test_shared_parameters_are_counted_apart():
    report = StorageReport({"text": 3_000_000, "adapters": 1_000_000, "shared parameters": 7}, 2000)
    assert (report.shared, report.per_document) == (7, 4_000_000)
    assert report.mb_per_1000 == 2.0


def test_a_passage_found_twice_is_retrieved_once():
    one, two = Passage("1", "", "a"), Passage("2", "", "b")
    assert Prediction("", [two, one, two]).ranked_ids == ["2", "1"]


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_numbers_that_no_manifest_can_hold_are_refused_as_parameters(value):
    class Warm(Plain):
        class Params(Plain.Params):
            temperature: float = Field(0.0, ge=0, description="of sampling")

    with pytest.raises(ConfigError, match="method 'warm': parameter 'temperature' = .*finite"):
        parse_params(Warm, "warm", {"temperature": value})


def test_a_methods_version_rises_with_those_that_it_runs():
    class First(Plain):
        card = MethodCard("First", "First.")

    class Third(Plain):
        card = MethodCard("Third", "Third.", version=3)

    class Outer(Plain):
        card = MethodCard("Outer", "Outer.", version=2)
        runs = (First, Third)

    assert (First.version(), Third.version(), Outer.version()) == (1, 3, 4)


def test_a_later_parameter_counts_only_away_from_its_default():
    class Grown(Plain):
        class Params(Plain.Params):
            order: str = later("best first", description="of passages")

    assert Grown.Params().model_dump() == Plain.Params().model_dump()
    assert Grown.Params(order="worst first").model_dump()["order"] == "worst first"


class Variants(Plain):
    card = MethodCard("Variants", "Has variants.")
    variant_param = "kind"

    class Params(Plain.Params):
        kind: str = Field("plain", description="which")


def test_a_variant_is_a_parameter_in_the_name():
    register_method("variants", Variants)
    assert load_method("variants:Other") is load_method("variants") is Variants
    given = parse_params(Variants, "variants:Other", {"k": 3})
    assert given == Variants.Params(kind="Other", k=3)
    assert parse_params(Variants, "variants:Other", {"kind": "Other"}).kind == "Other"
    assert parse_params(Variants, "variants", {}).kind == "plain"
    assert own_name("variants:Other") == own_name("variants") == "variants"


def test_a_variant_that_is_none_is_refused():
    register_method("variants", Variants)
    register_method("plain", type("Carded", (Plain,), {"card": MethodCard("Plain", "Is plain.")}))
    with pytest.raises(ConfigError, match=r"'kind' = 'B' names another variant; leave one"):
        parse_params(Variants, "variants:A", {"kind": "B"})
    with pytest.raises(ConfigError, match=r"method 'plain:A': 'plain' has no variants"):
        load_method("plain:A")
    with pytest.raises(ConfigError, match=r"unknown method 'variant'; did you mean 'variants'"):
        load_method("variant:A")
