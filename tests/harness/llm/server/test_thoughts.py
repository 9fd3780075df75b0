from __future__ import annotations

import pytest

from harness.errors import ConfigError
from harness.llm.requests import GenerateRequest
from harness.llm.server.replies import Said
from tests.harness.llm.server.asking import ask, opened, paris
from tests.stub import Stub, Words

LONG = "Let me think.\n\n" * 20
FIELDS = ["tags", "reasoning_content", "reasoning"]


@pytest.mark.parametrize("where", FIELDS)
def test_thoughts_are_parted_from_the_answer(where):
    with Stub(Words(paris), thoughts="Hm. Paris?", thoughts_in=where) as stub:
        (reply,) = ask(opened(stub), "p")
    assert (reply.text, reply.thoughts, reply.cut_off) == ("Paris is it", "Hm. Paris?", False)
    assert reply.completion_tokens == 8  # Both tags and the space between them, too.


@pytest.mark.parametrize("where", FIELDS)
def test_the_answer_has_a_budget_of_its_own(where):
    with Stub(Words(paris), thoughts=LONG, thoughts_in=where) as stub:
        model = opened(stub, thinking_tokens=200)
        first, second = (ask(model, GenerateRequest(p, 8))[0] for p in ("one", "two"))
        assert (first.text, first.cut_off) == ("Paris is it", False)
        assert first.thoughts == second.thoughts == LONG.strip()
        # Only the first had to be asked twice; nothing failed.
        assert [body["max_tokens"] for body in stub.bodies()] == [8, 208, 208]
        assert (model.retries, model.thinking_tokens) == (0, 200)


def test_thoughts_leave_no_more_room_to_the_answer_where_tokens_are_counted(tiny_model_dir):
    with Stub(Words(lambda _: "no yes " * 30), thoughts="Hm.") as stub:
        model = opened(stub, thinking_tokens=100, tokenizer=str(tiny_model_dir))
        (reply,) = ask(model, GenerateRequest("p", 8))
        (line,) = ask(model, GenerateRequest("p", 8, stop=("yes",)))
    assert 0 < len(reply.text.split()) <= 8
    assert (reply.cut_off, line.cut_off, line.text) == (True, False, "no ")


@pytest.mark.parametrize("where", FIELDS)
def test_thoughts_that_do_not_end_leave_an_empty_answer_and_say_so(where):
    with Stub(Words(paris), thoughts=LONG, thoughts_in=where) as stub:
        (reply,) = ask(opened(stub, thinking_tokens=5), GenerateRequest("p", 8))
    assert (reply.text, reply.cut_off) == ("", True)
    assert reply.thoughts.startswith("Let me think.")
    assert reply.completion_tokens == 13


@pytest.mark.parametrize("thinking", [None, "on"])
def test_stop_strings_cut_the_answer_and_not_the_thoughts(thinking):
    said = Words(lambda _: "Paris\nNext question")
    with Stub(said, thoughts="First.\n\nThen.", thoughts_in="tags") as stub:
        model = opened(stub, thinking=thinking, thinking_tokens=100)
        (reply,) = ask(model, GenerateRequest("p", 30, stop=("\n",)))
        assert (reply.text, reply.thoughts) == ("Paris", "First.\n\nThen.")
        assert "stop" not in stub.asked[-1].body


def test_a_reply_that_its_line_or_a_stop_string_ended_is_not_cut_off_by_the_limit():
    with Stub(Words(lambda _: "Paris\nIt is the capital, and so on and on")) as stub:
        model = opened(stub)
        line, stopped, limited = ask(
            model,
            GenerateRequest("p", 5, one_line=True),
            # Servers are sent four; the fifth applies here.
            GenerateRequest("q", 5, stop=("1", "2", "3", "4", "capital")),
            GenerateRequest("r", 5),
        )
    assert [reply.cut_off for reply in (line, stopped, limited)] == [False, False, True]


def test_stops_are_sent_where_nothing_is_thought():
    with Stub(Words(paris)) as stub:
        ask(opened(stub), GenerateRequest("p", stop=("\n",)))
        assert stub.asked[-1].body["stop"] == ["\n"]


@pytest.mark.parametrize("switch", ["on", "off"])
def test_thinking_is_switched_in_the_template(switch):
    with Stub(Words(paris), thoughts="Hm.") as stub:
        model = opened(stub, thinking=switch, template={"date_string": "26 Jul 2024"})
        model.probe()
        (reply,) = ask(model, "p")
        assert reply.text == "Paris is it"
        assert reply.thoughts == ("Hm." if switch == "on" else "")
        sent = stub.asked[-1].body
        on = switch == "on"
        assert sent["chat_template_kwargs"] == {
            "enable_thinking": on, "thinking": on, "date_string": "26 Jul 2024"
        }  # fmt: skip
        assert sent["max_tokens"] == 32 + (2048 if on else 0)


def test_effort_goes_in_its_own_field():
    with Stub(Words(paris)) as stub:
        ask(opened(stub, template={"reasoning_effort": "low"}), "p")
        assert stub.asked[-1].body["reasoning_effort"] == "low"
        assert "chat_template_kwargs" not in stub.asked[-1].body


def test_a_switch_without_effect_is_told_before_any_question():
    class Stubborn(Stub):
        def answer(self, asked):
            asked.body.pop("chat_template_kwargs")
            return super().answer(asked)

    with Stubborn(Words(paris), thoughts="Hm.") as stub:
        with pytest.raises(ConfigError, match="thinks although thinking is off"):
            opened(stub, thinking="off").probe()


def test_thoughts_that_the_template_opens_need_no_tag(tiny_model_dir, tmp_path):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    tokenizer.chat_template += "{% if add_generation_prompt %}{{ '<think>\n' }}{% endif %}"
    tokenizer.save_pretrained(tmp_path)
    with Stub(Words(lambda _: "Okay, the user asks")) as stub:
        model = opened(stub, tokenizer=str(tmp_path), thinking_tokens=0)
        cut, whole = ask(model, GenerateRequest("p", 3), GenerateRequest("p", 9))
    assert (cut.text, cut.thoughts) == ("", "Okay, the user")
    # A server that parts thoughts itself leaves no tag in the answer.
    assert (whole.text, whole.thoughts) == ("Okay, the user asks", "")


def test_a_probe_waits_for_no_thoughts():
    with Stub(Words(paris), thoughts=LONG) as stub:
        model = opened(stub)
        model.probe()
        assert model.thinking_tokens == 2048
        assert max(body["max_tokens"] for body in stub.bodies()) == 16


def test_a_completion_with_a_tag_gets_no_room_for_thoughts():
    with Stub(Words(lambda _: "<think> is a tag")) as stub:
        model = opened(stub, prompt_style="completion")
        ask(model, "p")
        assert model.thinking_tokens == 0
        assert [body["max_tokens"] for body in stub.bodies()] == [32]


def test_thinking_needs_the_chat_style():
    with Stub(Words(paris)) as stub:
        with pytest.raises(ConfigError, match="thinking works with prompt_style: chat"):
            opened(stub, thinking="off", prompt_style="completion")


def test_thoughts_among_parts():
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
             {"type": "text", "text": "Paris"}]  # fmt: skip
    said = Said.read({"choices": [{"message": {"content": parts}}]})
    assert (said.answer, said.thoughts) == ("Paris", "Hm.")


def test_counts_that_nobody_gave_are_unknown():
    with Stub(Words(paris), usage=False) as stub:
        model = opened(stub)
        (reply,) = ask(model, "p")
        assert (reply.prompt_tokens, reply.completion_tokens) == (None, None)
        assert model.provenance()["token_counts"] == "nobody"
