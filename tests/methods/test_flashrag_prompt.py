"""FlashRAG's setting of the readers: zero-shot, its structure, its limits."""

from __future__ import annotations

import pytest

from harness.boards.method_entry import load_method, parse_params
from harness.errors import ConfigError
from harness.prompts import Message
from harness.records import Passage, Query
from harness.testing.models import RuleModel
from methods.flashrag_prompt import CLOSED_BOOK, LONGEST, READING, flashrag_prompt
from methods.no_retrieval import NoRetrieval
from tests.harness.programs import make_engine

ASKED = Query("q", "Who wrote Hamlet?")
FOUND = [Passage("a", "Hamlet", "By Shakespeare."), Passage("b", "", "A play.")]
READERS = ("no-retrieval", "bm25", "standard-rag")


def test_messages_have_the_structure_of_flashrags_template():
    pytest.importorskip("flashrag.prompt")
    from flashrag.prompt import PromptTemplate

    theirs = object.__new__(PromptTemplate)
    theirs.is_openai = theirs.is_chat = theirs.enable_chat = True
    theirs.system_prompt, theirs.user_prompt = READING + "{reference}", "Question: {question}"
    theirs.reference_template, theirs.max_input_len = None, LONGEST
    theirs.truncate_prompt = lambda messages: messages
    expected = theirs.get_string(ASKED.text, [{"contents": p.contents} for p in FOUND])
    ours = flashrag_prompt(ASKED, FOUND).render("chat")
    assert [{"role": m.role, "content": m.content} for m in ours] == expected
    theirs.is_chat = False
    expected = theirs.get_string(ASKED.text, [{"contents": p.contents} for p in FOUND])
    assert flashrag_prompt(ASKED, FOUND).render("completion") == expected


def test_without_passages_the_model_is_asked_what_it_knows():
    assert flashrag_prompt(ASKED).render("chat") == (
        Message("system", CLOSED_BOOK),
        Message("user", "Question: Who wrote Hamlet?"),
    )


@pytest.mark.parametrize("window", [None, 100_000])
def test_long_prompts_lose_documents_from_the_end_at_2048_tokens(window):
    many = [Passage(str(n), "T", "word " * 397) for n in range(9)]  # 400 words each as lines
    model = RuleModel(window=window)
    rendered = model.fit(flashrag_prompt(ASKED, many), 32).rendered
    assert model.count_tokens(rendered) <= LONGEST
    assert "Doc 5(" in rendered and "Doc 6(" not in rendered


@pytest.mark.parametrize("name", READERS)
def test_the_setting_shows_no_demonstrations(name):
    cls = load_method(name)
    assert parse_params(cls, name, {"prompt": "flashrag"}).shots == 0
    with pytest.raises(ConfigError, match="prompt=flashrag shows no demonstrations"):
        parse_params(cls, name, {"prompt": "flashrag", "shots": 2})


@pytest.mark.parametrize("name", READERS)
def test_runs_made_before_there_was_a_setting_keep_their_id(name):
    params = load_method(name).Params
    assert "prompt" not in params().model_dump(mode="json")
    assert params(prompt="flashrag").model_dump(mode="json")["prompt"] == "flashrag"


@pytest.mark.parametrize("name", READERS)
def test_cards_declare_demonstrations_instruction_and_format(name):
    told = " ".join(load_method(name).card.deviations)
    assert "-p shots" in told and "The instruction is" in told and "-p prompt=flashrag" in told
    assert name == "no-retrieval" or "A passage is the line" in told


@pytest.mark.parametrize(
    ("style", "answer"), [("chat", "Paris\n\nIt is in France."), ("completion", "Paris")]
)
def test_the_answer_is_the_whole_reply_or_a_completions_first_line_that_says_something(
    style, answer
):
    """A completion model may begin with an empty line: nothing in the prompt says what follows."""
    model = RuleModel(lambda _: "\n\nParis\n\nIt is in France.", style=style)
    method = NoRetrieval(NoRetrieval.Params(prompt="flashrag"))
    found = []
    make_engine(method, model).run([ASKED], found.append)
    assert found[0].prediction.answer == answer
