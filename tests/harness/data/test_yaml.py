"""YAML that somebody may have sent: what it says, or one error; never a traceback or no end."""

from __future__ import annotations

from time import process_time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.boards.file import read_board
from harness.data.yaml import DEEPEST, load_yaml
from harness.errors import InputError
from tests.harness.conftest import CommandLine

BOMB = "\n".join(
    ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))]
)
MERGES = "\n".join(
    ["a0: &a0 {x: 1}", *(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 60))]
)
CHAIN = "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 2000))])
REFUSED = {
    "a date that is none": "x: 2024-02-30",
    "nested lists": "[" * 3000 + "]" * 3000,
    "nested blocks": "\n".join(" " * n + "- " for n in range(500)) + "x",
    "nested aliases": BOMB,
    "nested merges": MERGES,
    "a chain of aliases": CHAIN,
    "a list within itself": "&a [*a]",
    "a number of a million digits": "9" * 10**6,
    "a number to the base of sixty": "1" + ":1" * 10**5,
    "a tag of Python": "!!python/object/apply:os.system [echo]",
    "a list as a key": "? [a]\n: b",
    "a character that is none": r'"\U00110000"',
    "a character beyond numbers": r'"\UFFFFFFFF"',
    "a version of thousands of digits": f"%YAML 1.{'1' * 5000}\n--- a",
    "half a list": "[1, 2",
    "no text": "\x00",
    "megabytes": "x" * 3 * 2**20,
}
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_is_no_plain_value_of_bounded_size_is_refused_at_once(text: str) -> None:
    start = process_time()
    with pytest.raises(yaml.YAMLError):
        load_yaml(text)
    assert process_time() - start < 5


@given(values)
def test_plain_values_are_read_as_they_were_written(value: object) -> None:
    text = yaml.safe_dump(value)
    assert load_yaml(text) == yaml.safe_load(text) == value


def test_values_are_read_as_deep_as_the_limit_says() -> None:
    assert load_yaml("[" * DEEPEST + "]" * DEEPEST)
    with pytest.raises(yaml.YAMLError, match="64 lists and mappings within each other"):
        load_yaml("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1))
    assert load_yaml("a: &a [1]\nb: *a") == {"a": [1], "b": [1]}


@settings(max_examples=100)
@given(st.text(st.sampled_from("ab1:- \n\t[]{}&*!|>'\"%@`#?,.<=~0x\\"), max_size=60))
def test_any_text_is_a_value_or_an_error_of_yaml(text: str) -> None:
    try:
        wanted = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        with pytest.raises(yaml.YAMLError):
            load_yaml(text)
    else:
        assert repr(load_yaml(text)) == repr(wanted)


def test_a_board_and_a_parameter_say_so_in_one_line(tmp_path, cli: CommandLine) -> None:
    for text in (BOMB, "x: 2024-02-30", "[" * 3000):
        (tmp_path / "board.yaml").write_text(text)
        with pytest.raises(InputError, match=r"board\.yaml: not readable as YAML: [^\n]*\Z"):
            read_board(str(tmp_path / "board.yaml"))
    for value in ("2024-02-30", "[" * 3000 + "]" * 3000):
        done = cli("run", "--method", "bm25", "--task", "nq", "-p", f"k={value}")
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert "the value is not readable: " in done.err
