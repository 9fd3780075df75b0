"""Chat templates: their arguments, and a clock that must not tell prompts apart."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path

import pytest

from harness.errors import ConfigError
from harness.llm.catalogue import catalogue, resolve_model
from harness.llm.identity import identity
from harness.llm.lm_eval_model import LMEvalModel
from harness.llm.local import LocalModel
from harness.llm.model_config import ModelConfig
from harness.llm.template import render_chat
from harness.prompts import Message

CHAT = (Message("user", "Who wrote Hamlet?"),)
# As Llama 3.2's: a date if one is given, else the clock's.
DATED = (
    "{% if not date_string is defined %}{% if strftime_now is defined %}"
    "{% set date_string = strftime_now('%d %b %Y') %}{% else %}"
    "{% set date_string = '26 Jul 2024' %}{% endif %}{% endif %}"
    "Today: {{ date_string }}\n{{ messages[0]['content'] }}\n"
)
# As Mistral's: the clock is asked in any case, its answer written where no system message is.
UNDATED = (
    "{% set today = strftime_now('%Y-%m-%d') %}"
    "{% if messages[0]['role'] != 'system' %}Today is {{ today }}.\n{% endif %}"
    "{% for m in messages %}{{ m['content'] }}\n{% endfor %}"
)
THINKING = "{{ messages[0]['content'] }}{% if enable_thinking is false %} /off{% endif %}\n"


def model(folder: Path, template: str, arguments=None) -> LocalModel:
    (folder / "chat_template.jinja").write_text(template)
    config = ModelConfig(
        name="tiny", path=str(folder), prompt_style="chat", template=arguments or {}
    )
    return LocalModel(config, str(folder), device="cpu")


@pytest.fixture
def folder(tiny_model_dir, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_model_dir, tmp_path / "tiny"))


@pytest.fixture
def on_day(monkeypatch):
    """Sets the clock that transformers gives to templates."""
    from transformers.utils import chat_template_utils

    def stand(year: int) -> None:
        class Clock(datetime):
            @classmethod
            def now(cls, tz=None):
                return cls(year, 3, 1)

        monkeypatch.setattr(chat_template_utils, "datetime", Clock)

    return stand


def test_the_clock_is_what_this_harness_stops(folder, on_day):
    """Without it, transformers writes the day: the premise of the tests below."""
    llm = model(folder, DATED, {"date_string": "26 Jul 2024"})
    turns = [{"role": "user", "content": "Who?"}]
    on_day(2031)
    assert "01 Mar 2031" in llm.tokenizer.apply_chat_template(turns, tokenize=False)


@pytest.mark.parametrize(
    ("template", "arguments", "begins"),
    [
        (DATED, {"date_string": "26 Jul 2024"}, "Today: 26 Jul 2024"),
        (DATED, {"strftime_now": "2024-07-26"}, "Today: 26 Jul 2024"),
        (UNDATED, {"strftime_now": "2024-07-26"}, "Today is 2024-07-26."),
    ],
)
def test_another_day_has_the_same_prompt(folder, on_day, template, arguments, begins):
    llm, prompts = model(folder, template, arguments), []
    for year in (2030, 2031):
        on_day(year)
        prompts.append(llm.encode(CHAT))
    assert prompts[0] == prompts[1]
    assert llm.tokenizer.decode(prompts[0]).startswith(begins)


@pytest.mark.parametrize(
    "template",
    [DATED, UNDATED, "\n  {% if true %}x{% endif %}\n\n{{ strftime_now('%A, %B %-d') }} y "],
)
def test_all_else_is_what_transformers_makes_of_it_on_that_day(folder, on_day, template):
    llm = model(folder, template, {"strftime_now": "2024-03-01"})
    on_day(2024)
    turns = [{"role": m.role, "content": m.content} for m in CHAT]
    text = llm.tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    assert render_chat("tiny", llm.tokenizer, CHAT, llm.config.template) == text


@pytest.mark.parametrize("template", [DATED, UNDATED])
def test_a_template_that_would_write_today_stops_with_the_way_out(folder, template):
    llm = model(folder, template)
    with pytest.raises(ConfigError, match="writes today's date.*date_string: 26 Jul") as caught:
        llm.encode(CHAT)
    assert "strftime_now: 2024-07-26" in str(caught.value) and "\n" not in str(caught.value)


def test_a_date_that_is_not_written_needs_none(folder):
    llm = model(folder, UNDATED)
    ids = llm.encode((Message("system", "Be short."), *CHAT))
    text = llm.tokenizer.decode(ids)
    assert "Who wrote Hamlet?" in text and "Today" not in text


def test_arguments_reach_the_template(folder):
    on, off = model(folder, THINKING), model(folder, THINKING, {"enable_thinking": False})
    assert on.tokenizer.decode(on.encode(CHAT)) == "Who wrote Hamlet?"
    assert off.tokenizer.decode(off.encode(CHAT)) == "Who wrote Hamlet? /off"
    assert off.count_tokens(CHAT) > on.count_tokens(CHAT)


@pytest.mark.parametrize("spec", ["path:{}", "openai:m@http://h/v1", "lm-eval:dummy"])
def test_arguments_are_part_of_what_a_model_is(folder, spec):
    name = spec.format(folder)
    plain = resolve_model({"name": name, "prompt_style": "chat"})
    dated = resolve_model(
        {"name": name, "prompt_style": "chat", "template": {"date_string": "26 Jul 2024"}}
    )
    assert "template" not in identity(plain)
    assert identity(dated) == {**identity(plain), "template": {"date_string": "26 Jul 2024"}}
    assert dated.name == f"{plain.name}-date_string-26-jul-2024"
    assert json.loads(json.dumps(identity(dated))) == identity(dated)


def test_a_day_of_a_board_is_text():
    import yaml

    spec = yaml.safe_load("{name: hf:a/b, template: {strftime_now: 2024-07-26}}")
    assert resolve_model(spec).settings()["template"] == {"strftime_now": "2024-07-26"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"messages": "x"}, "'messages' is set by the harness"),
        ({"add_generation_prompt": False}, "'add_generation_prompt' is set by the harness"),
        ({"tools": ["x"]}, "'tools' is set by the harness"),
        ({"strftime_now": "tomorrow"}, "a day such as 2024-07-26"),
        ({"depth": float("nan")}, "template"),
        ({"names": ["a"]}, "template"),
        ("chat", "arguments by name"),
    ],
)
def test_arguments_that_are_refused(arguments, words):
    with pytest.raises(ConfigError, match=words):
        resolve_model({"name": "hf:a/b", "template": arguments})


def test_values_keep_their_kind():
    arguments = {"a": True, "b": 1, "c": 0.5, "d": "x", "e": None}
    found = resolve_model({"name": "hf:a/b", "template": arguments}).settings()["template"]
    assert found == arguments
    assert [type(value) for value in found.values()] == [bool, int, float, str, type(None)]


def test_llama_3_2_has_a_fixed_date_in_the_catalogue():
    for name in ("llama-3.2-1b-instruct", "llama-3.2-3b-instruct"):
        assert catalogue()[name].template == {"date_string": "26 Jul 2024"}
        assert "template" in catalogue()[name].settings()


def test_a_server_is_not_sent_our_day():
    with pytest.raises(ConfigError, match="strftime_now works with kind transformers"):
        resolve_model({"name": "openai:m@http://h/v1", "template": {"strftime_now": "2024-07-26"}})


def test_lm_evals_templates_have_no_clock_either(folder, on_day):
    (folder / "chat_template.jinja").write_text(DATED)
    spec = {"name": f"lm-eval:hf,pretrained={folder},dtype=float32", "prompt_style": "chat"}
    plain = LMEvalModel(resolve_model(spec), batch_size=1, device="cpu")
    with pytest.raises(ConfigError, match="writes today's date"):
        plain.count_tokens(CHAT)
    counts = []
    for arguments in ({"date_string": "26 Jul 2024"}, {"strftime_now": "2024-07-26"}):
        on_day(2031)
        dated = LMEvalModel(
            resolve_model({**spec, "template": arguments}), batch_size=1, device="cpu"
        )
        assert dated._context(CHAT).startswith("Today: 26 Jul 2024\n")
        counts.append(dated.count_tokens(CHAT))
    assert counts[0] == counts[1]


def test_lm_evals_named_templates_have_no_clock_either(folder, on_day):
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    settings["chat_template"] = [{"name": "default", "template": DATED}]
    settings["chat_template"].append({"name": "rag", "template": "unused"})
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    spec = {"name": f"lm-eval:hf,pretrained={folder},dtype=float32", "prompt_style": "chat"}
    plain = LMEvalModel(resolve_model(spec), batch_size=1, device="cpu")
    assert isinstance(plain._lm.tokenizer.chat_template, dict)
    on_day(2031)
    with pytest.raises(ConfigError, match="writes today's date"):
        plain.count_tokens(CHAT)


def test_lm_eval_models_without_arguments_refuse_them():
    spec = {"name": "lm-eval:dummy", "template": {"enable_thinking": False}}
    with pytest.raises(ConfigError, match="takes no arguments for a chat template"):
        LMEvalModel(resolve_model(spec))


def test_thinking_is_switched_in_one_place(folder):
    template = THINKING + "{{ '<think>' if enable_thinking else '' }}"
    (folder / "chat_template.jinja").write_text(template)
    config = ModelConfig(
        name="tiny",
        path=str(folder),
        prompt_style="chat",
        thinking="off",
        template={"enable_thinking": True},
    )
    with pytest.raises(ConfigError, match="thinking and template both set 'enable_thinking'"):
        LocalModel(config, str(folder), device="cpu")


INSTRUCTED = (Message("system", "Answer.\n\nPassage: Hamlet is a play.\n"), *CHAT)
DEAF = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}{% endfor %}"
)
PROTESTING = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{{ messages[0]['content'] }}\n"
)


def test_a_template_that_leaves_out_the_system_message_is_refused(folder):
    """It holds the instruction and the passages: the model would read neither."""
    deaf = model(folder, DEAF)
    assert deaf.count_tokens(CHAT) > 0
    with pytest.raises(ConfigError, match="leaves out the system message.*prompt_style: compl"):
        deaf.count_tokens(INSTRUCTED)
    hearing = model(folder, "{% for m in messages %}{{ m['content'] | trim }}\n{% endfor %}")
    assert hearing.count_tokens(INSTRUCTED) > hearing.count_tokens(CHAT)


def test_lm_eval_may_not_take_the_system_message_out(folder):
    """It does so itself, with a warning, where a template refuses one."""
    (folder / "chat_template.jinja").write_text(PROTESTING)
    spec = {"name": f"lm-eval:hf,pretrained={folder},dtype=float32", "prompt_style": "chat"}
    llm = LMEvalModel(resolve_model(spec), batch_size=1, device="cpu")
    assert llm.count_tokens(CHAT)
    with pytest.raises(ConfigError, match="leaves out the system message"):
        llm.count_tokens(INSTRUCTED)


def test_a_template_that_refuses_says_why(folder):
    llm = model(folder, "{{ raise_exception('no system role') }}")
    with pytest.raises(ConfigError, match="refuses these messages.*no system role"):
        render_chat("tiny", llm.tokenizer, CHAT, {})
