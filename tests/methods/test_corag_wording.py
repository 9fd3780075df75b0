"""CoRAG's strings, read from a checkout of the authors' code or from a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import InputError
from harness.records import Passage, Query
from methods.corag.chain import Hop
from methods.corag.checkout import read_checkout
from methods.corag.prompts import TemplatePrompts
from methods.corag.wording import fill, read_wording
from tests.methods.corag_checkout import PROMPTS, as_file, functions, write_checkout

QUERY = Query("q", "Who {query} built {documents}?")
CHAIN = (Hop("Where is {history}?", "in {task} "), Hop("Who?", " Mara\\n"))
DOCUMENTS = [Passage("a", "Oster", "A {query} port."), Passage("b", "", "An island.")]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path) -> Path:
    return write_checkout(tmp_path / "LMOps")


@pytest.mark.parametrize("chain", [(), CHAIN[:1], CHAIN], ids=["no hop", "one", "two"])
@pytest.mark.parametrize("documents", [[], DOCUMENTS], ids=["no document", "two"])
def test_prompts_are_the_strings_that_the_code_itself_makes(checkout, chain, documents):
    wording, theirs = read_checkout(checkout), functions()
    prompts = TemplatePrompts("a kind", wording)
    asked, found = [hop.query for hop in chain], [hop.answer for hop in chain]
    texts = [document.contents.strip() for document in reversed(documents)]
    for mine, own in [
        (
            prompts.sub_query(QUERY, chain),
            theirs["get_generate_subquery_prompt"](QUERY.text, asked, found, "a kind"),
        ),
        (
            prompts.sub_answer("Ports?", documents),
            theirs["get_generate_intermediate_answer_prompt"]("Ports?", texts),
        ),
        (
            prompts.final_answer(QUERY, chain, documents),
            theirs["get_generate_final_answer_prompt"](QUERY.text, asked, found, "a kind", texts),
        ),
        (
            prompts.chain_alone(QUERY, chain),
            theirs["get_generate_intermediate_answer_prompt"](
                QUERY.text,
                [f"Asked: {q}\nFound: {a}" for q, a in zip(asked, found, strict=True)],
            ),
        ),
    ]:
        (message,) = mine.render("chat")
        assert {"role": message.role, "content": message.content} == own[0]
    assert (prompts.no_information, wording.tasks) == (
        "No word of it",
        {"multi-hop": "combine facts"},
    )


def test_a_checkout_is_found_by_any_of_its_folders_and_never_run(checkout):
    folders = [checkout, checkout / "corag", checkout / "corag" / "src"]
    assert len({read_checkout(folder).fingerprint for folder in folders}) == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{task_desc}", "{task_desc.upper()}", r"prompts.py, line \d+: \{task_desc.upper\(\)\}"),
        ("{query}\n\nOne", "{query!r}\n\nOne", r"line \d+: \{query\}"),
        ("# Aim\n{query}\n\nOne", "One", "'sub_query' lacks {query}"),
        ("def get_generate_subquery_prompt", "def other", "has no function 'get_generate_sub"),
        ("prompt = f", "text = f", "0 times 'prompt' in get_generate_subquery_prompt"),
        ("past or 'None'", "past or 'Nil'", "show a chain differently"),
        ("Step {idx+1} found", "Step {idx+1} said", "show a chain differently"),
        ("def ", "def def ", "cannot be read as Python"),
        ("Ask on.", "\0", "cannot be read as Python"),
    ],
)
def test_code_that_changed_is_refused_and_not_guessed_at(tmp_path, old, new, message):
    assert old in PROMPTS
    folder = write_checkout(tmp_path, PROMPTS.replace(old, new, 1))
    with pytest.raises(InputError, match=message.replace("{query}", r"\{query\}")) as caught:
        read_checkout(folder)
    assert "\n" not in str(caught.value)


def test_a_folder_without_the_code_says_where_to_get_it(tmp_path):
    with pytest.raises(InputError, match=r"no corag/src/prompts.py; clone https://github.com/"):
        read_checkout(tmp_path)


@pytest.mark.parametrize("name", ["words.yaml", "words.json"])
def test_a_file_says_what_a_checkout_says(checkout, tmp_path, name):
    wording = read_checkout(checkout)
    path = as_file(tmp_path / name, **wording.model_dump())
    assert read_wording(path) == wording
    assert read_wording(path).fingerprint == wording.fingerprint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sub_querry": "x"}, r"'sub_querry': .*did you mean 'sub_query'"),
        ({"hop": None}, "'hop': Field required"),
        ({"hop": "{query}"}, "'hop' lacks {answer}"),
        ({"sub_query": "{history}{task}{query}{documents}"}, "'sub_query' has no place for {doc"),
        ({"no_information": ""}, "'no_information'"),
        ({"tasks": ["x"]}, "'tasks'"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_its_key(tmp_path, changes, message):
    path = as_file(tmp_path / "words.yaml", **changes)
    with pytest.raises(InputError, match=message.replace("{", r"\{")) as caught:
        read_wording(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[1]", "a: [", "!!python/object/apply:os.getcwd []"])
def test_no_mapping_and_no_object_is_read(tmp_path, text):
    (path := tmp_path / "words.yaml").write_text(text)
    with pytest.raises(InputError, match=r"words.yaml: (is not a mapping|cannot be read)"):
        read_wording(path)


def test_braces_in_what_is_filled_in_mean_nothing():
    assert (
        fill("{query} {x} {answer}", query="{answer}", answer="{query}") == "{answer} {x} {query}"
    )


def test_the_example_in_the_readme_is_a_wording(tmp_path):
    text = (ROOT / "methods/corag/README.md").read_text(encoding="utf-8")
    (path := tmp_path / "words.yaml").write_text(text.split("```yaml\n")[1].split("```")[0])
    assert read_wording(path).hop == "{number}. {query} {answer}\n"
