"""Cards of everything that has a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import registry
from harness.cli.names import describe_name, names
from harness.errors import ConfigError, HarnessError

KINDS = ("methods", "tasks", "models", "encoders", "boards")


@pytest.mark.parametrize("kind", KINDS)
def test_everything_listed_can_be_described(kind: str) -> None:
    listed = list(names(kind))
    assert listed == sorted(listed)
    for name, summary in listed:
        assert summary
        assert "\n" not in summary
        assert describe_name(name).startswith(f"{kind.removesuffix('s')}: {name}\n")


def test_a_card_says_what_a_user_may_set() -> None:
    card = describe_name("bm25")
    assert "k: '5: passages given to the reader'" in card
    assert "Robertson" in card


def test_a_card_says_what_a_method_asks_of_a_model() -> None:
    card = describe_name("corag")
    assert "needs a model trained for: corag" in card
    assert "with other models use: corag-prompted" in card


def test_a_variant_has_its_methods_card() -> None:
    assert describe_name("flashrag:IRCOTPipeline").startswith("method: flashrag:IRCOTPipeline\n")
    with pytest.raises(ConfigError, match="'bm25' has no variants"):
        describe_name("bm25:IRCOTPipeline")


def test_a_name_of_two_kinds_shows_both() -> None:
    registry.register("boards", "bm25", registry.find("boards", "quickstart"))
    assert describe_name("bm25").count("bm25\n") >= 2
    assert "board: bm25" in describe_name("bm25")


def test_a_board_that_is_broken_is_named(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("tasks: [")
    registry.register("boards", "mine", tmp_path / "b.yaml")
    with pytest.raises(HarnessError, match=r"b\.yaml: not readable as YAML"):
        describe_name("mine")


def test_unknown_names_and_kinds() -> None:
    with pytest.raises(ConfigError, match="nothing is called 'bm52'; did you mean 'bm25'"):
        describe_name("bm52")
    with pytest.raises(ConfigError, match="did you mean 'bm25'"):
        describe_name("BM25")
    with pytest.raises(ConfigError, match="cannot list 'method'; did you mean 'methods'"):
        list(names("method"))
