"""Log-probabilities through the stub, whose tiny model in this process is the oracle."""

from __future__ import annotations

import math

import pytest

from harness.boards.method_entry import load_method
from harness.boards.needs import check_needs
from harness.errors import CapabilityError, ConfigError, HarnessError
from harness.llm.catalogue import resolve_model
from harness.llm.local import LocalModel
from harness.llm.open import open_model
from harness.llm.requests import GenerateRequest, NextTokenRequest, ScoreRequest
from harness.prompts import Message
from tests.harness.llm.server.asking import opened, paris
from tests.stub import FAULTS, Once, Stub, TinyMind, Words

COMPLETION = "Question: who wrote Hamlet?\nAnswer:"
CHAT = (Message("system", "Be short."), Message("user", "Who wrote Hamlet?"))
WORDS = {"completion": (" yes", " Paris", " or"), "chat": ("Answer", "a", "b")}
FORMS = [
    ("completion", ("top", "prompt_logprobs"), "prompt_logprobs, top 20"),
    ("completion", ("top", "echo"), "echo, top 20"),
    ("chat", ("top", "prompt_logprobs"), "prompt_logprobs, top 20"),
]


@pytest.fixture(scope="module")
def mind(tiny_model_dir):
    return TinyMind(tiny_model_dir)


@pytest.fixture(scope="module")
def local(tiny_model_dir):
    config = resolve_model({"name": f"path:{tiny_model_dir}", "dtype": "float32"})
    return LocalModel(config, str(tiny_model_dir), device="cpu")


def _prompt(style):
    return COMPLETION if style == "completion" else CHAT


@pytest.mark.parametrize(("style", "offers", "told"), FORMS)
def test_scores_equal_those_of_the_model_here(mind, local, style, offers, told):
    with Stub(mind, offers=offers) as stub:
        model = opened(stub, prompt_style=style)
        model.probe()
        assert model.capabilities == {"logprobs", "next-token-probs"}
        assert model.provenance()["logprobs"] == told
        texts = (*WORDS[style], f"{WORDS[style][0]} wrote Hamlet")
        # One by one: the tokens that continuations share are told from the prompt's by it alone.
        for text in texts:
            request = [ScoreRequest(_prompt(style), (text,))]
            ((_, found),), ((_, wanted),) = model.score(request), local.score(request)
            assert found.logprobs == pytest.approx(wanted.logprobs, abs=1e-4)
            assert found.token_counts == wanted.token_counts
            assert found.prompt_tokens == wanted.prompt_tokens
        ((_, together),) = model.score([ScoreRequest(_prompt(style), texts)])
        assert len(together.logprobs) == 4


@pytest.mark.parametrize(("style", "offers", "told"), FORMS)
def test_next_tokens_equal_those_of_the_model_here(mind, local, style, offers, told):
    with Stub(mind, offers=offers) as stub:
        model = opened(stub, prompt_style=style)
        request = [NextTokenRequest(_prompt(style), WORDS[style])]
        ((_, found),), ((_, wanted),) = (
            model.next_token_probs(request),
            local.next_token_probs(request),
        )
        assert dict(found.probs) == pytest.approx(dict(wanted.probs), rel=1e-3)
        assert found.prompt_tokens == wanted.prompt_tokens


@pytest.mark.parametrize("style", ["completion", "chat"])
def test_of_the_likeliest_tokens_alone(mind, local, style):
    with Stub(mind, offers=("top",)) as stub:
        model = opened(stub, prompt_style=style)
        model.probe()
        assert model.capabilities == {"next-token-probs"}
        assert model.provenance()["logprobs"] == "top 20"
        with pytest.raises(CapabilityError, match="no log-probabilities of given text"):
            list(model.score([ScoreRequest(_prompt(style), ("a",))]))
        ids = mind.read(_messages(style), None, {})
        (step,) = mind.write(ids, 1, {}, 20)
        listed = [text for text, _ in step.top if text.strip("\ufffd")]
        unlisted = next(c for c in "abcdefghijklmnopqrstuvwxyz" if c not in listed)
        strings = (listed[0], next(t for t in listed[1:] if not t.startswith(listed[0])), unlisted)
        ((_, found),) = model.next_token_probs([NextTokenRequest(_prompt(style), strings)])
        expected = {text: math.exp(value) for text, value in step.top}
        assert found.probs[strings[0]] == pytest.approx(expected[strings[0]])
        assert found.probs[strings[1]] == pytest.approx(expected[strings[1]])
        assert found.probs[unlisted] == 0.0


def _messages(style):
    if style == "completion":
        return COMPLETION
    return [{"role": m.role, "content": m.content} for m in CHAT]


def test_strings_that_begin_alike_cannot_be_told_apart(mind):
    for offers in (("top", "echo"), ("top", "prompt_logprobs")):
        with Stub(mind, offers=offers) as stub:
            model = opened(stub, prompt_style="completion")
            request = NextTokenRequest(COMPLETION, (" Zebra", " Xylo"))  # Both begin with a space.
            with pytest.raises(ConfigError, match="share a first token"):
                list(model.next_token_probs([request]))


def test_watched_tokens_have_their_probabilities(mind, local):
    with Stub(mind) as stub:
        model = opened(stub, prompt_style="completion")
        ((_, plain),) = model.generate([GenerateRequest(COMPLETION, 6)])
        assert plain.choices == ()
        steps = mind.write(mind.read(COMPLETION, None, {}), 6, {}, top=20)
        watch = tuple(step.text for step in steps if local.has_token(step.text))
        request = [GenerateRequest(COMPLETION, 6, watch=watch)]
        ((_, found),), ((_, wanted),) = model.generate(request), local.generate(request)
        assert [c.text for c in found.choices] == [c.text for c in wanted.choices]
        seen = 0
        for mine, theirs in zip(found.choices, wanted.choices, strict=True):
            assert mine.logprob == pytest.approx(theirs.logprob, abs=1e-4)
            for token in watch:
                if mine.probs[token]:
                    assert mine.probs[token] == pytest.approx(theirs.probs[token], rel=1e-3)
                    seen += 1
        assert seen > 0
        assert stub.asked[-1].body["skip_special_tokens"] is False


def test_fewer_likeliest_tokens_than_asked_for(mind):
    with Stub(mind, offers=("top",), most_top=5) as stub:
        model = opened(stub)
        model.probe()
        assert model.provenance()["logprobs"] == "top 5"


def test_a_server_without_any(mind):
    with Stub(mind, offers=()) as stub:
        model = opened(stub)
        model.probe()
        assert model.capabilities == frozenset()
        assert model.provenance()["logprobs"] == "none"
        with pytest.raises(CapabilityError, match="no next-token probabilities"):
            list(model.next_token_probs([NextTokenRequest("p", ("a",))]))


@pytest.mark.parametrize(
    ("offers", "refused"),
    [
        (("top", "prompt_logprobs"), set()),
        (("top",), {"corag"}),
        ((), {"corag", "self-rag-prompted"}),
    ],
)
def test_methods_are_refused_by_name_where_they_lack_something(mind, offers, refused):
    needy = {
        "self-rag-prompted": {},
        "adaptive-rag-llm-router": {},
        "corag": {"strategy": "best_of_n"},
    }
    with Stub(mind, offers=offers) as stub:
        model = open_model(resolve_model({"name": f"openai:m@{stub.url}"}))
        model.trained_for = frozenset({"corag"})
        found = set()
        for name, params in needy.items():
            cls = load_method(name)
            try:
                check_needs(name, cls(cls.Params(**params)), model)
            except CapabilityError as error:
                assert "capability 'logprobs'" in str(error) or "'next-token-probs'" in str(error)
                found.add(name)
        assert found == refused


def test_a_server_is_probed_once_and_in_spite_of_failures(mind):
    with Stub(mind, faults=Once([FAULTS["503"], FAULTS["half a document"]])) as stub:
        model = opened(stub, prompt_style="completion")
        model.probe()
        assert "logprobs" in model.capabilities
        asked = len(stub.asked)
        model.probe()
        list(model.score([ScoreRequest(COMPLETION, (" yes",))]))
        assert len(stub.asked) > asked
        before = len(stub.asked)
        model.probe()
        assert len(stub.asked) == before


def test_a_model_that_thinks_is_asked_without_thoughts(mind):
    with Stub(mind, thoughts="Hm.") as stub:
        model = opened(stub)
        model.probe()
        assert "next-token-probs" in model.capabilities
        assert stub.asked[-1].body["chat_template_kwargs"]["enable_thinking"] is False


def test_the_first_token_of_thoughts_says_nothing_about_an_answer(mind):
    class Stubborn(Stub):
        def answer(self, asked):
            asked.body.pop("chat_template_kwargs", None)
            return super().answer(asked)

    with Stubborn(mind, thoughts="Hm.", offers=("top",)) as stub:
        model = opened(stub)
        model.probe()
        assert model.capabilities == frozenset()


def test_words_have_no_probabilities():
    with Stub(Words(paris)) as stub:
        model = opened(stub)
        model.probe()
        assert model.capabilities == frozenset()


def test_a_reply_that_ends_at_once_fails_its_question_and_not_the_run():
    said = Words(lambda prompt: "" if "silence" in prompt else "Yes", lambda *_: 0.5)
    with Stub(said, offers=("top",)) as stub:
        model = opened(stub)
        ((_, found),) = model.next_token_probs([NextTokenRequest("p", ("Yes", "No"))])
        assert found.probs == {"Yes": pytest.approx(0.5), "No": 0.0}
        with pytest.raises(HarnessError, match="ended before any token") as error:
            list(model.next_token_probs([NextTokenRequest("silence", ("Yes", "No"))]))
    assert not isinstance(error.value, CapabilityError)


@pytest.mark.parametrize("offers", [("top", "prompt_logprobs"), ("top", "echo")])
def test_probabilities_that_a_reply_lost_are_asked_for_again(offers):
    with Stub(Words(paris, lambda *_: 0.5), offers=offers) as stub:
        model = opened(stub, prompt_style="completion")
        model.probe()
        stub.faults = Once([FAULTS["odd shapes"]])
        ((_, found),) = model.next_token_probs([NextTokenRequest("p", (" Yes", " No"))])
        assert found.probs == {" Yes": pytest.approx(0.5), " No": pytest.approx(0.5)}
        assert model.retries == 3


def test_an_echo_loses_no_token_where_the_reply_ends_at_once():
    said = Words(lambda prompt: "" if prompt.endswith("Yes sir") else "so", lambda *_: 0.5)
    request = [ScoreRequest("p", (" Yes sir",))]
    with Stub(said, offers=("top", "echo")) as stub:
        ((_, scores),) = opened(stub, prompt_style="completion").score(request)
        assert scores.logprobs == pytest.approx((2 * math.log(0.5),))
    # Which tokens are the prompt's is told by the server's count alone.
    with Stub(said, offers=("top", "echo"), usage=False) as stub:
        with pytest.raises(CapabilityError, match="no log-probabilities of given text"):
            list(opened(stub, prompt_style="completion").score(request))
