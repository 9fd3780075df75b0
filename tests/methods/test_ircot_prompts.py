"""IRCoT's prompt and the chains of thought in its demonstrations."""

from __future__ import annotations

import pytest

from harness.data.card import Task
from harness.data.demonstrations import qa_prompts
from harness.data.task import load_task
from harness.prompts import Example
from harness.records import Passage, Query, Question
from harness.registry import task_folder
from harness.testing.models import RuleModel, small_task
from methods.decomposition import resolve
from methods.ircot.chains import chain_of_thought, excerpt, hop_statement
from methods.ircot.prompts import REPLY_START, thought_demonstrations, thought_prompt

ANN = Passage("a", "Ann (singer)", "Ann (1950) is a singer. She was born in Rome. She is tall.")
ROME = Passage("r", "Rome", "Rome is a city. It lies on the Tiber. Many live there.")
TWO_HOPS = [
    {"question": "Ann >> place of birth", "answer": "Rome", "support_doc_id": "a"},
    {"question": "What river is near #1?", "answer": "Tiber", "support_doc_id": "r"},
]


def example(answer="Tiber", passages=(ANN, ROME), text="Which river is near Ann's home?", **about):
    return Example(Question("t", text, (answer,), (), about), passages)


@pytest.mark.parametrize(
    ("asked", "answer", "statement"),
    [
        ("Ann >> spouse", "Bob", "The spouse of Ann is Bob."),
        ("Ann >> educated at", "Oxford", "Ann is educated at Oxford."),
        ("Kent >> shares border with", "Essex", "Kent shares border with Essex."),
        ("Kent >> located in the county", "Essex", "Kent is located in the county Essex."),
        ("the director of Up is who?", "Pete Docter", "The director of Up is Pete Docter."),
        ("Who is the wife of Ann?", "Eve", "The wife of Ann is Eve."),
        ("What were the first cars", "steam carts", "The first cars were steam carts."),
        ("who wrote Dune", "Frank Herbert", "Frank Herbert wrote Dune."),
        ("When did Ann die?", "1990", None),
        ("Who did Ann marry?", "Bob", None),
        ("", "Bob", None),
    ],
)
def test_a_hop_and_its_answer_make_a_statement(asked, answer, statement):
    assert hop_statement(asked, answer) == statement


def test_references_are_replaced_by_earlier_answers():
    assert resolve("#1 and #2 in #1", ["Ann", "Bob"]) == "Ann and Bob in Ann"
    assert resolve("#3 of #10", ["Ann", "Bob"]) == "#3 of #10"
    assert resolve("#1", [r"\1 #2"]) == r"\1 #2"


def test_only_examples_of_which_a_step_is_known_are_worked():
    bare = example(passages=(), text="Who?")
    told = [example(text="Which?"), example(passages=(), question_decomposition=TWO_HOPS)]
    shown = thought_demonstrations([bare, *told, bare], 3, 1, 30)
    assert shown == thought_demonstrations(told, 3, 1, 30)
    assert [len(shown), len(thought_demonstrations([bare], 3, 1, 30))] == [2, 0]


def test_a_chain_follows_the_hops():
    chain = chain_of_thought(example(question_decomposition=TWO_HOPS))
    assert chain == [
        "The place of birth of Ann is Rome.",
        "Rome lies on the Tiber.",
        "So the answer is: Tiber.",
    ]


def test_a_hop_without_rule_or_support_is_told_as_asked():
    hops = [{"question": "When did Ann die?", "answer": "1990"}]
    chain = chain_of_thought(example("1990", (), question_decomposition=hops))
    assert chain == ["When did Ann die: 1990.", "So the answer is: 1990."]


def test_a_chain_quotes_the_supporting_sentences():
    supporting = {
        "title": ["Ann (singer)", "Rome", "Rome", "Rome", "Oslo"],
        "sent_id": [1, 1, 9, "0", 0],
    }
    assert chain_of_thought(example(supporting_facts=supporting)) == [
        "Ann was born in Rome.",
        "Rome lies on the Tiber.",
        "So the answer is: Tiber.",
    ]


def test_without_annotation_each_passage_leads_on_to_the_next():
    assert chain_of_thought(example()) == [
        "Ann was born in Rome.",  # names the next title
        "Rome lies on the Tiber.",  # names the answer
        "So the answer is: Tiber.",
    ]


def test_one_hop_takes_the_first_gold_passage_alone():
    assert chain_of_thought(example("Rome", hops=1)) == [
        "Ann was born in Rome.",
        "So the answer is: Rome.",
    ]


def test_where_no_sentence_names_the_answer_the_closest_is_quoted():
    asked = example("yes", (ANN,), "Is she tall?")
    assert chain_of_thought(asked) == ["Ann is tall.", "So the answer is: yes."]


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"question_decomposition": ["Who?"]},
        {"question_decomposition": [{"question": "Who?"}]},
        {"supporting_facts": [["Rome", 0]]},
        {"hops": "two"},
        {"hops": 0},
    ],
)
def test_odd_annotation_still_gives_a_chain(metadata):
    assert chain_of_thought(example(**metadata))[-1] == "So the answer is: Tiber."
    assert chain_of_thought(example(passages=(), **metadata)) == ["So the answer is: Tiber."]


def test_long_sentences_are_cut_at_a_comma_before_forty_words():
    part = "and more " * 11 + "and more"  # 24 words
    long = Passage("l", "Long", f"Long has the Tiber, {part}, {part}.")
    assert chain_of_thought(example(passages=(long,)))[0] == f"Long has the Tiber, {part}."


def test_an_excerpt_keeps_the_sentences_closest_to_the_question():
    assert excerpt(ROME, "the Tiber", 0) == "It lies on the Tiber."
    assert excerpt(ROME, "the Tiber", 9) == "Rome is a city. It lies on the Tiber."
    assert excerpt(ROME, "the Tiber", 99) == ROME.text
    assert excerpt(Passage("e", "E", ""), "the Tiber", 9) == ""


def test_demonstrations_mix_gold_excerpts_and_distractors_in_order_of_title():
    oslo = Passage("o", "Oslo", "Oslo is in Norway.")
    other = Example(Question("u", "Where is Oslo?", ("Norway",)), (oslo,))
    first, second = thought_demonstrations([example(), other], 2, 1, 5)
    assert first.ask.splitlines() == [
        "Passage: Ann (singer): She was born in Rome.",
        "Passage: Oslo: Oslo is in Norway.",
        "Passage: Rome: It lies on the Tiber.",
        "Question: Which river is near Ann's home?",
    ]
    assert first.reply == "Ann was born in Rome.\nRome lies on the Tiber.\nSo the answer is: Tiber."
    assert second.ask.count("Passage:") == 2
    assert [d.ask.count("Passage:") for d in thought_demonstrations([example()], 1, 3, 5)] == [2]


def test_a_completion_goes_on_where_the_chain_stopped():
    shots = thought_demonstrations([example()], 1, 0, 5)
    prompt = thought_prompt(Query("q", "Who?"), shots, [ROME, ANN], ["A is b.", "C is d."])
    text = prompt.render("completion")
    assert text.endswith(f"Question: Who?\n{REPLY_START} A is b.\nC is d.\n")
    places = [text.index(part) for part in (shots[0].reply, ROME.text, ANN.text, "Who?")]
    assert places == sorted(places)


def test_a_chat_has_the_demonstrations_before_the_passages_too():
    shots = thought_demonstrations([example()], 1, 0, 5)
    messages = thought_prompt(Query("q", "Who?"), shots, [ROME], ["A is b."]).render("chat")
    assert [m.role for m in messages] == ["system", "user", "assistant", "user", "assistant"]
    assert messages[2].content == shots[0].reply
    assert messages[3].content == f"Passage: Rome: {ROME.text}\nQuestion: Who?"
    assert messages[4].content == "A is b.\n"


def test_a_chat_without_thoughts_begins_no_turn():
    messages = thought_prompt(Query("q", "Who?"), (), [ROME]).render("chat")
    assert [m.role for m in messages] == ["system", "user"]


def test_consecutive_steps_share_all_but_the_end_of_their_prompts():
    shots = thought_demonstrations([example()], 1, 0, 5)
    one = thought_prompt(Query("q", "Who?"), shots, [ROME]).render("completion")
    two = thought_prompt(Query("q", "Who?"), shots, [ROME, ANN], ["A."]).render("completion")
    assert two.startswith(one[: one.index("Question: Who?")])


def test_a_small_window_drops_the_passages_collected_last():
    prompt = thought_prompt(Query("q", "Who?"), (), [ROME, ANN])
    full = len(prompt.render("completion").split())
    fitted = RuleModel(window=full - 1).fit(prompt, 0)
    rendered = fitted.rendered
    assert fitted.dropped == 1
    assert ROME.text in rendered and ANN.text not in rendered


@pytest.mark.parametrize("name", ["hotpotqa", "musique", "nq", "triviaqa"])
def test_every_shipped_train_question_makes_a_chain_with_a_fact(name):
    data = load_task(Task.from_folder(task_folder(name)))
    for made in qa_prompts(data, len(data.train), 0).examples:
        *facts, answer = chain_of_thought(made)
        assert facts and all(facts)
        assert answer.startswith("So the answer is: ")


def test_questions_of_a_task_without_annotation_work():
    prompts = qa_prompts(small_task(), 4, 0)
    assert len(thought_demonstrations(prompts.examples, 3, 1, 30)) == 3
