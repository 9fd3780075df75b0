"""What FlashRAG's pipelines call: a retriever and a generator over ours."""

from __future__ import annotations

import pytest

from harness.errors import CapabilityError, ConfigError, PromptTooLongError
from harness.llm.requests import GenerateRequest, Reply
from harness.prompts import Message
from harness.testing.models import RuleModel, ScriptedModel, WordRetriever, small_task
from methods.flashrag import as_generator, as_retriever
from methods.flashrag.objects import Ask, PipelineGenerator, fitted
from methods.flashrag.written import Written


def asked(model: ScriptedModel) -> GenerateRequest:
    return model.requests[-1]


def test_documents_are_flashrags_dictionaries_best_first() -> None:
    corpus = small_task().corpus
    retriever = as_retriever(WordRetriever(corpus), k=2)
    documents = retriever.search("lighthouse of Vell")
    assert documents[0] == {
        "id": "d0",
        "title": corpus[0].title,
        "text": corpus[0].text,
        "contents": f"{corpus[0].title}\n{corpus[0].text}",
    }
    assert len(documents) == 2
    assert retriever.batch_search(["lighthouse of Vell"]) == [documents]
    found, scores = retriever.batch_search(["lighthouse of Vell", "xyzzy"], 1, return_score=True)
    assert (found, scores) == ([documents[:1], []], [[3.0], []])
    assert retriever.search("lighthouse of Vell", num=1, return_score=True) == (
        documents[:1],
        [3.0],
    )
    assert retriever.batch_search([]) == []


def test_options_of_the_generator_are_honoured() -> None:
    model = ScriptedModel({"": "one two. three"})
    generator = as_generator(model, max_tokens=7, seed=3)
    assert generator.generate("a prompt") == ["one two. three"]
    assert (asked(model).max_tokens, asked(model).stop) == (7, ())
    assert generator.generate(["p", "q"], max_tokens=9, stop=["."]) == ["one two."] * 2
    assert (asked(model).max_tokens, asked(model).stop) == (9, (".",))
    generator.generate("p", max_new_tokens=5, batch_size=4, temperature=0.5, do_sample=True)
    assert (asked(model).max_tokens, asked(model).temperature, asked(model).seed) == (5, 0.5, 3)
    generator.generate("p", temperature=0.5, do_sample=False, top_p=0.9, skip_special_tokens=True)
    assert asked(model).temperature == 0
    generator.generate([{"role": "user", "content": "hello"}])
    assert asked(model).prompt == (Message("user", "hello"),)
    assert generator.generate([]) == []


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"return_scores": True}, CapabilityError, "'return_scores': .* texts alone"),
        ({"return_raw_output": True, "logprobs": 5}, CapabilityError, "texts alone"),
        ({"skip_special_tokens": False}, CapabilityError, "no special tokens"),
        ({"temperature": 1.0, "top_p": 0.9}, CapabilityError, "top_p=0.9"),
        ({"do_sample": True}, ConfigError, "give the temperature"),
        ({"max_token": 3}, ConfigError, "'max_token'; did you mean 'max_tokens'"),
    ],
)
def test_options_that_mean_nothing_here_are_refused(options, error, told) -> None:
    with pytest.raises(error, match=told):
        as_generator(RuleModel()).generate("p", **options)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (Reply("a query", stop="</search>"), "a query</search>"),
        (Reply("the end", stop=""), "the end"),
        # A server that does not say what ended the reply, as FlashRAG's own generator has it.
        (Reply("a query"), "a query."),
        (Reply("a que", cut_off=True), "a que"),
    ],
)
def test_a_reply_keeps_the_stop_string_that_ended_it(reply: Reply, text: str) -> None:
    generator = PipelineGenerator(lambda asks: [reply for _ in asks], 32)
    assert generator.generate("p", stop=[".", "</search>"]) == [text]


def test_what_is_too_long_loses_its_middle() -> None:
    model = RuleModel(window=100)
    text = " ".join(str(number) for number in range(1000))
    shorter = fitted(text, model, 20, 64)
    assert isinstance(shorter, str)
    assert model.count_tokens(shorter) == 64
    assert shorter.startswith("0 1 2 3 ") and shorter.endswith(" 998 999")
    assert model.count_tokens(fitted(text, model, 60, 64)) == 40
    assert fitted("short", model, 20, 64) == "short"
    with pytest.raises(PromptTooLongError, match="no room in the 0 tokens"):
        fitted(text, model, 100, 64)


def test_of_a_chat_the_longest_message_loses_its_middle() -> None:
    long = " ".join(str(number) for number in range(1000))
    chat = Message("system", long), Message("user", "Question: who?")
    system, user = fitted(chat, RuleModel(style="chat"), 8, 50)
    assert user == chat[1]
    assert system.content.startswith("0 1 2") and system.content.endswith("998 999")


def test_a_chat_goes_on_in_the_assistants_turn() -> None:
    written = Written.of([Message("user", "Who?")])
    assert written == "Who?"
    again = written + "Let me " + "search."
    assert again.messages == (Message("user", "Who?"), Message("assistant", "Let me search."))
    assert written.messages == (Message("user", "Who?"),)
    asks: list[Ask] = []

    def ask(given: list[Ask]) -> list[Reply]:
        asks.extend(given)
        return [Reply("")]

    PipelineGenerator(ask, 4).generate([again])
    assert asks == [Ask(again.messages, 4)]
