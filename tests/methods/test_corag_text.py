"""What CoRAG reads out of replies, and what its prompts and demonstrations say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.prompts import Example, Message, QAPrompts
from harness.records import Passage, Query, Question
from methods.corag.chain import (
    NO_INFORMATION,
    Hop,
    parse_sub_answer,
    parse_sub_query,
    rank_passages,
)
from methods.corag.few_shot import (
    FewShotPrompts,
    asked_plainly,
    bare_title,
    demonstrated_chain,
    describe,
)
from methods.corag.prompts import TemplatePrompts

QUERY = Query("q", "Where was the builder born?")
CHAIN = (Hop("Who built it?", "Mara Quint"), Hop("Where was she born?", NO_INFORMATION))
BEST, SECOND = Passage("a", "Oster", "A port."), Passage("b", "Vell", "An island.")


@pytest.mark.parametrize(
    ("reply", "sub_query"),
    [
        ("Who built it?", "Who built it?"),
        ('  "Who built it?"  ', "Who built it?"),
        ("\u201cWho built it?\u201d", "Who built it?"),
        ("'Who built it?'", "Who built it?"),
        ("Intermediate query 3: Who built it?", "Who built it?"),
        ('"Intermediate query 3: Who built it?"', "Who built it?"),
        ('Intermediate query 3: "Who built it?"', "Who built it?"),
        ("Query 1: Intermediate query 2: Who built it?", "Who built it?"),
        ("follow-up question: Who built it?", "Who built it?"),
        ("Next query: Who built it?", "Who built it?"),
        ("\n \nWho built it?\nIntermediate answer 1: Ann", "Who built it?"),
        ("population of the U.S. in St. Paul", "population of the U.S. in St. Paul"),
        ("The Ilm.", "The Ilm."),
        ('Who sang "The Tide"', 'Who sang "The Tide"'),
        ('"Vell" and "Oster', '"Vell" and "Oster'),
        ("Query language of SQL", "Query language of SQL"),
        ("the question: who?", "the question: who?"),
        ('"', '"'),
        ("", ""),
        (" \n\t ", ""),
        ('""', ""),
        ("Intermediate query 2:", ""),
        ('Intermediate query 2: ""', ""),
    ],
)
def test_sub_queries_lose_labels_and_quotes(reply, sub_query):
    assert parse_sub_query(reply) == sub_query


@given(st.text())
def test_any_reply_gives_a_sub_query_that_stays_as_it_is(reply):
    parsed = parse_sub_query(reply)
    assert parse_sub_query(parsed) == parsed
    assert "\n" not in parsed


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (" Oster. ", "Oster."),
        ("\nthe U.S.\nsince 1776", "the U.S."),
        ("Answer: Oster Answer: Vell", "Answer: Oster Answer: Vell"),
        ("", NO_INFORMATION),
        (" \n ", NO_INFORMATION),
    ],
)
def test_sub_answers_are_first_lines(reply, answer):
    assert parse_sub_answer(reply) == answer


def passages(*ids: str) -> tuple[Passage, ...]:
    return tuple(Passage(key, key, key) for key in ids)


@pytest.mark.parametrize(
    ("own", "hops", "ranked"),
    [
        ("abc", [], "abc"),
        ("", ["ab", "c"], "acb"),
        ("abc", ["dea", "fb"], "adfbec"),
        ("a", ["a", "a"], "a"),
        ("abcdef", ["f"], "afbcde"),
    ],
)
def test_passages_are_ranked_by_their_best_rank(own, hops, ranked):
    chain = tuple(Hop(str(n), "", passages(*ids)) for n, ids in enumerate(hops))
    assert "".join(p.id for p in rank_passages(passages(*own), chain)) == ranked


def test_the_checkpoints_sub_query_prompt_is_one_user_turn():
    (message,) = TemplatePrompts("Answer trivia.").sub_query(QUERY, CHAIN).render("chat")
    assert message.role == "user"
    assert message.content.split("\n\n")[1:-1] == [
        "## Previous intermediate queries and answers\n"
        "Intermediate query 1: Who built it?\nIntermediate answer 1: Mara Quint\n"
        f"Intermediate query 2: Where was she born?\nIntermediate answer 2: {NO_INFORMATION}",
        "## Task description\nAnswer trivia.",
        "## Main query to answer\nWhere was the builder born?",
    ]


def test_a_chain_that_has_not_begun_is_nothing_yet():
    (message,) = TemplatePrompts("Answer.").sub_query(QUERY, ()).render("chat")
    assert "## Previous intermediate queries and answers\nNothing yet\n\n" in message.content


def test_the_checkpoints_sub_answer_prompt_has_the_best_document_last():
    (message,) = TemplatePrompts("Answer.").sub_answer("Ports?", [BEST, SECOND]).render("chat")
    parts = message.content.split("\n\n")
    assert NO_INFORMATION in parts[0]
    assert parts[1:-1] == ["## Documents\nVell\nAn island.", "Oster\nA port.", "## Query\nPorts?"]


def test_the_checkpoints_last_prompt_numbers_documents_as_they_stand():
    prompt = TemplatePrompts("Answer.").final_answer(QUERY, CHAIN, [BEST, SECOND])
    (message,) = prompt.render("chat")
    parts = message.content.split("\n\n")
    assert parts[1:3] == ["## Documents\nDoc 0: Vell\nAn island.", "Doc 1: Oster\nA port."]
    assert [part.splitlines()[0] for part in parts[3:-1]] == [
        "## Intermediate queries and answers",
        "## Task description",
        "## Main query",
    ]


def test_the_checkpoints_penalty_prompt_has_the_chain_as_documents():
    (message,) = TemplatePrompts("Answer.").chain_alone(QUERY, CHAIN).render("chat")
    parts = message.content.split("\n\n")
    assert parts[1:-1] == [
        "## Documents\nQ: Who built it?\nA: Mara Quint",
        f"Q: Where was she born?\nA: {NO_INFORMATION}",
        "## Query\nWhere was the builder born?",
    ]


def test_a_completion_model_is_told_how_the_reply_begins():
    text = TemplatePrompts("Answer.").sub_answer("Ports?", [BEST]).render("completion")
    assert text.endswith("nothing else.\n\nAnswer:")


def example(text: str, answers=("Ann",), decomposition=(), golds=(BEST, SECOND)) -> Example:
    metadata = {"question_decomposition": list(decomposition)} if decomposition else {}
    return Example(Question(f"t{text}", text, answers, (), metadata), golds)


def step(question: str, answer: str) -> dict[str, str]:
    return {"question": question, "answer": answer}


TWO_HOPS = example(
    "Where was the wife of Jon born?",
    decomposition=[step("Jon >> spouse", "Ann"), step("Where was #1 born?", "Oster")],
)


def test_a_decomposition_is_a_chain_with_answers_in_place_of_references():
    assert demonstrated_chain(TWO_HOPS) == (
        Hop("Jon spouse", "Ann"),
        Hop("Where was Ann born?", "Oster"),
    )


@pytest.mark.parametrize(
    ("text", "resolved"),
    [
        ("#1 >> spouse", "Ann spouse"),
        ("is #2 in #1?", "is Oster in Ann?"),
        ("the #3 and #0 song", "the #3 and #0 song"),
        ("no reference", "no reference"),
        ("", ""),
    ],
)
def test_references_name_earlier_answers(text, resolved):
    assert asked_plainly(text, ["Ann", "Oster"]) == resolved


def test_without_a_decomposition_gold_titles_are_the_sub_queries():
    ilm = Passage("c", "Ilm (river)", "The Ilm is a long river. It ends in a sea.")
    assert demonstrated_chain(example("Where?", golds=(ilm, BEST, SECOND))) == (
        Hop("Ilm", "a long river"),
        Hop("Oster", "A port"),
    )


def test_with_one_gold_title_the_question_itself_comes_next():
    wanted = Hop("Who is it?", "Ann")
    assert demonstrated_chain(example("Who is it?", golds=(BEST, BEST)))[1:] == (wanted,)
    assert demonstrated_chain(example("Who is it?", golds=())) == (wanted,)


@pytest.mark.parametrize(
    ("title", "bare"),
    [("Unbreakable (film)", "Unbreakable"), ("(G)I-dle", "(G)I-dle"), (" Ilm ", "Ilm"), ("", "")],
)
def test_titles_lose_what_tells_them_apart(title, bare):
    assert bare_title(Passage("a", title, "")) == bare


@pytest.mark.parametrize(
    ("text", "described"),
    [
        ("Ann was an engineer born in Oster. She died.", "an engineer born in Oster"),
        ("J. R. Abel, a composer, is the author of The Tide.", "the author of The Tide"),
        ("The U.S. is a country; it is large.", "a country"),
        ("It is a b c d e f g h i j k.", "a b c d e f g h i j"),
        ("No verb here", "No verb here"),
        ("", ""),
    ],
)
def test_descriptions_are_what_the_first_sentence_says(text, described):
    assert describe(Passage("a", "Title", text)) == described


def few_shot(*examples: Example) -> FewShotPrompts:
    house = QAPrompts((), examples)
    return FewShotPrompts(house, "Answer trivia.")


def test_demonstrations_stand_at_the_step_that_is_asked_for():
    prompts = few_shot(TWO_HOPS)
    (first,) = prompts.sub_query(QUERY, ()).demonstrations
    assert (first.ask, first.reply) == ("Question: Where was the wife of Jon born?", "Jon spouse")
    (second,) = prompts.sub_query(QUERY, CHAIN[:1]).demonstrations
    assert second.ask == "Jon spouse: Ann\nQuestion: Where was the wife of Jon born?"
    assert second.reply == "Where was Ann born?"
    assert prompts.sub_query(QUERY, CHAIN).demonstrations == (second,), "its last step"


def test_an_example_of_which_no_step_is_known_shows_no_query():
    bare = Example(Question("b", "Who?", ("Ann",)), ())
    prompts = few_shot(bare, TWO_HOPS)
    assert prompts.sub_query(QUERY, ()) == few_shot(TWO_HOPS).sub_query(QUERY, ())
    (answered, _) = prompts.sub_answer("Ports?", [BEST]).demonstrations
    assert (answered.ask, answered.reply) == ("Question: Who?", "Ann")


def test_the_few_shot_sub_query_prompt_ends_with_the_chain_the_question_and_the_cue():
    text = few_shot(TWO_HOPS).sub_query(QUERY, CHAIN[:1]).render("completion")
    assert text.split("\n\n")[-1] == (
        "Who built it?: Mara Quint\nQuestion: Where was the builder born?\nNext query:"
    )
    assert "Answer trivia." in text


def test_sub_answers_are_demonstrated_by_one_hop_of_each_example_in_turn():
    prompt = few_shot(TWO_HOPS, TWO_HOPS, TWO_HOPS).sub_answer("Ports?", [BEST])
    assert [(d.ask, d.reply) for d in prompt.demonstrations] == [
        ("Question: Jon spouse", "Ann"),
        ("Question: Where was Ann born?", "Oster"),
        ("Question: Jon spouse", "Ann"),
    ]


def test_the_last_prompt_is_the_houses_with_the_chain_before_the_question():
    prompts = few_shot(TWO_HOPS)
    plain = prompts.house.read(QUERY, (BEST, SECOND)).render("completion")
    asked = "Question: Where was the builder born?"
    chain = f"Who built it?: Mara Quint\nWhere was she born?: {NO_INFORMATION}\n"
    with_chain = prompts.final_answer(QUERY, CHAIN, [BEST, SECOND]).render("completion")
    assert with_chain == plain.replace(asked, f"{chain}{asked}")
    assert prompts.final_answer(QUERY, (), [BEST, SECOND]).render("completion") == plain


def test_the_few_shot_penalty_prompt_has_the_chain_as_passages_in_order():
    text = few_shot().chain_alone(QUERY, CHAIN).render("completion")
    assert text.split("\n\n")[-1].splitlines() == [
        "Passage: Who built it?: Mara Quint",
        f"Passage: Where was she born?: {NO_INFORMATION}",
        "Question: Where was the builder born?",
        "Answer:",
    ]


def test_a_chat_model_gets_demonstrations_as_turns():
    messages = few_shot(TWO_HOPS).sub_query(QUERY, ()).render("chat")
    assert [message.role for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[-1] == Message("user", "Question: Where was the builder born?")


@pytest.mark.parametrize("steps", [[{"question": "Who?"}], ["Who?"], "Who?", [{"answer": "Ann"}]])
def test_a_decomposition_without_answers_is_none(steps):
    question = Question("q", "Who built it?", ("Ann",), ("d0",), {"question_decomposition": steps})
    chain = demonstrated_chain(Example(question, (Passage("d0", "Ann", "Ann is a builder."),)))
    assert [hop.query for hop in chain] == ["Ann", "Who built it?"]
