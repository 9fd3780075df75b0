from __future__ import annotations

import pytest

from harness.errors import PromptTooLongError
from harness.llm.server.failures import of_status
from harness.llm.server.window import exceeded, window_of, window_of_props
from harness.prompts import Prompt
from harness.records import Passage, Prediction
from tests.harness.llm.server.asking import ask, opened, paris
from tests.harness.programs import Steps, predictions, queries
from tests.stub import Stub, TinyMind, Words

PASSAGES = tuple(Passage(f"d{i}", "", f"Passage {i} tells of a river. " * 3) for i in range(8))
WINDOW = 260


async def _read(method, query):
    reply = await method.llm.generate(Prompt(query.text, passages=PASSAGES), max_tokens=20)
    return Prediction(reply.text)


@pytest.fixture(scope="module")
def mind(tiny_model_dir):
    return TinyMind(tiny_model_dir)


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        # OpenAI, old and new; vLLM, old and new; llama.cpp; SGLang; TGI.
        (400, {"message": "This model's maximum context length is 4097 tokens. However, your "
               "messages resulted in 5012 tokens.", "code": "context_length_exceeded"},
         (4097, 5012)),
        (400, {"message": "This model's maximum context length is 4097 tokens. However, you "
               "requested 5112 tokens (5012 in the messages, 100 in the completion)."},
         (4097, 5012)),
        (400, {"message": "'max_tokens' or 'max_completion_tokens' is too large: 8000. This "
               "model's maximum context length is 4096 tokens and your request has 2778 input "
               "tokens (8000 > 4096 - 2778). None"}, (4096, 2778)),
        (400, {"message": "This model's maximum context length is 2048 tokens. However, you "
               "requested 32 output tokens and your prompt contains at least 2017 input tokens, "
               "for a total of at least 2049 tokens."}, (2048, 2017)),
        (400, {"message": "request (13392 tokens) exceeds the available context size (8192 "
               "tokens), try increasing it", "type": "exceed_context_size_error",
               "n_prompt_tokens": 13392, "n_ctx": 8192}, (8192, 13392)),
        (400, {"message": "Requested token count exceeds the model's maximum context length of "
               "4096 tokens. You requested a total of 5032 tokens: 5000 tokens from the input "
               "messages and 32 tokens for the completion."}, (4096, 5000)),
        (422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= "
               "4096. Given: 5000 `inputs` tokens and 32 `max_new_tokens`"}, (4096, 5000)),
        (500, {"message": "the request exceeds the available context size"}, (None, None)),
        (400, {"message": "seed is not supported"}, None),
        (400, {"message": "max_tokens must be at least 1"}, None),
    ],
)  # fmt: skip
def test_what_servers_say_of_a_prompt_that_is_too_long(status, body, told):
    assert exceeded(of_status(status, body)) == told


def test_windows_that_servers_list():
    assert window_of({"id": "m", "max_model_len": 4096}) == 4096
    assert window_of({"id": "m", "meta": {"n_ctx": 2048, "n_ctx_train": 8192}}) == 2048
    assert window_of({"id": "m"}) is window_of(None) is None
    assert window_of_props({"default_generation_settings": {"n_ctx": 512}}) == 512
    assert window_of_props({}) is None


def test_with_window_and_tokenizer_known_passages_are_cut_first(mind, tiny_model_dir):
    with Stub(mind, window=WINDOW) as stub:
        model = opened(stub, tokenizer=str(tiny_model_dir))
        model.probe()
        assert model.window == WINDOW
        before = len(stub.asked)
        (found,) = predictions(Steps(_read), queries(1), model).values()
        assert found.error is None
        assert found.steps[0].data["passages_dropped"] > 0
        # Nothing was refused.
        assert len(stub.asked) == before + 1


def test_a_window_told_by_a_refusal_is_enough_with_a_tokenizer(mind, tiny_model_dir):
    def cut(**options):
        with Stub(mind, window=WINDOW, **options) as stub:
            stub.listed = lambda: {"data": [{"id": "m"}]}
            model = opened(stub, tokenizer=str(tiny_model_dir))
            found = predictions(Steps(_read), queries(3), model, window=1)
            steps = [p.steps[0].data for p in found.values()]
            return [step["prompt"] for step in steps], len(stub.asked)

    prompts, asked = cut()
    assert asked == 4  # Only the first was refused.
    assert all("Passage 0" in p and "Passage 7" not in p for p in prompts)


@pytest.mark.parametrize("style", ["chat", "completion"])
def test_without_a_tokenizer_a_refused_prompt_is_cut_by_what_the_server_told(mind, style):
    def cut(asked):
        with Stub(mind, window=WINDOW) as stub:
            found = predictions(Steps(_read), asked, opened(stub, prompt_style=style))
            assert all(p.error is None for p in found.values())
            dropped = {k: p.steps[0].data["passages_dropped"] for k, p in found.items()}
            return dropped, {k: p.answer for k, p in found.items()}

    dropped, answers = cut(queries(5))
    assert all(0 < count < 8 for count in dropped.values())
    # What was asked before has no say.
    assert cut(queries(5)[::-1]) == (dropped, answers)
    assert cut(queries(5)[3:4])[0] == {k: n for k, n in dropped.items() if k == "q0003"}


def test_a_window_that_is_not_told():
    with Stub(Words(paris), window=20, tells_window=False) as stub:
        (found,) = predictions(Steps(_read), queries(1), opened(stub)).values()
    assert found.error.startswith("PromptTooLongError")
    assert "name window and tokenizer in the model's entry" in found.error


def test_a_prompt_that_is_too_long_without_any_passage():
    with Stub(Words(paris), window=21) as stub:
        model = opened(stub)
        with pytest.raises(PromptTooLongError, match="exceeds the window of 21"):
            ask(model, "a " * 99)
        (found,) = predictions(Steps(_read), queries(1), model).values()
    assert "exceeds the window of 21" in found.error
