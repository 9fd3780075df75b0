"""CoRAG in its authors' strings or in others: what each row may be called, and its tasks."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.boards.check import check_plan
from harness.boards.config import parse_board
from harness.boards.method_entry import load_method
from harness.boards.run import plan_runs
from harness.data.card import TaskCard, custom_task
from harness.errors import ConfigError
from harness.llm.model_config import ModelConfig
from harness.llm.requests import as_text
from harness.testing.models import RuleModel
from methods.corag.checkout import read_checkout
from methods.corag.method import CoRAG, CoRAGPrompted, CoRAGReworded
from methods.corag.tasks import task_description
from methods.corag.wording import REWORDED
from tests.harness.programs import answer_all, make_engine, queries
from tests.methods.corag_checkout import as_file, write_checkout
from tests.methods.corag_lab import FORMS, trained

MULTI, SINGLE = (TaskCard(name=n, title=n, hops=n) for n in ("multi", "single"))


@pytest.fixture
def checkout(tmp_path) -> Path:
    return write_checkout(tmp_path / "LMOps")


@pytest.fixture
def known(checkout, monkeypatch) -> Path:
    """The checkout, taken for the authors' own."""
    authors = read_checkout(checkout).prompts_fingerprint
    monkeypatch.setattr("methods.corag.method.AUTHORS", authors)
    return checkout


def plans(method: str, task: str = "hotpotqa", **params):
    board = parse_board(
        {
            "name": "b",
            "tasks": [{"name": task, "limit": 2}],
            "methods": [{"name": method, "params": params}],
            "models": ["corag-llama3.1-8b"],
        },
        "test",
    )
    return list(plan_runs(board, "cpu"))


def test_corag_without_the_authors_prompts_names_both_ways_out(tmp_path):
    for stops in (lambda: plans("corag"), lambda: make_engine(CoRAG(), trained(RuleModel()))):
        with pytest.raises(ConfigError) as caught:
            stops()
        message = str(caught.value)
        assert "-p prompts=PATH" in message and "'corag-reworded'" in message
        assert "\n" not in message


def test_corag_takes_no_other_words_than_its_authors(checkout, tmp_path):
    for path in (checkout, as_file(tmp_path / "words.yaml")):
        with pytest.raises(ConfigError, match="not the prompts that CoRAG was tuned on.*reworded"):
            plans("corag", prompts=str(path))
        assert plans("corag-reworded", prompts=str(path))


def test_the_prompts_count_in_a_run_by_what_they_say_and_not_by_their_place(known, tmp_path):
    elsewhere = write_checkout(tmp_path / "elsewhere")
    same = as_file(tmp_path / "words.yaml", **read_checkout(known).model_dump())
    found = [plans("corag", prompts=str(p))[0] for p in (known, elsewhere, same)]
    assert len({plan.config.run_id for plan in found}) == 1
    assert "prompts" not in found[0].config.method.params
    assert [plan.method.provenance for plan in found] == [
        {"prompts": str(path)} for path in (known, elsewhere, same)
    ]
    (other,) = plans("corag-reworded", prompts=str(same))
    (own,) = plans("corag-reworded")
    assert "prompts" in other.config.method.inputs and own.config.method.inputs == {}
    assert other.config.run_id != own.config.run_id


def test_corag_asks_in_the_authors_words_alone(known):
    model = trained(RuleModel(style="chat"))
    params = {"prompts": str(known), "max_path_length": 1, "task_description": "a kind"}
    found = answer_all(CoRAG(CoRAG.Params(**params)), queries(1), model)
    prompts = [
        step.data["prompt"]
        for row in found.values()
        for step in row.prediction.steps
        if step.kind == "generate"
    ]
    firsts = [prompt.removeprefix("<user>\n").splitlines()[0] for prompt in prompts]
    assert firsts == ["Ask on.", "Read.", "End."]


def test_corag_is_refused_on_a_model_that_is_not_asked_in_turns(known):
    method = CoRAG(CoRAG.Params(prompts=str(known)))
    entries = [ModelConfig(name="m", path="m", prompt_style=s) for s in ("chat", "completion")]
    method.check_entry(entries[0])
    with pytest.raises(ConfigError, match="model 'm': CoRAG was tuned on turns of a chat"):
        method.check_entry(entries[1])


def described(cls, task, **params):
    return cls(cls.Params(**params)).describe_task(task)


@pytest.mark.parametrize("cls", [CoRAGReworded, CoRAGPrompted])
def test_a_task_is_described_by_its_hops(cls):
    known = REWORDED.tasks
    assert described(cls, MULTI) == known["multi-hop"]
    assert described(cls, SINGLE) == known["single-hop"]
    assert described(cls, custom_task("own").card) == known["any"] == described(cls, None)
    assert len(set(known.values())) == 3


def test_a_description_may_be_given_for_all_tasks_or_by_name_and_kind():
    given = {"single": "A", "multi-hop": "B", "any": "C"}
    found = [
        described(CoRAGReworded, task, task_description=given) for task in (SINGLE, MULTI, None)
    ]
    assert found == ["A", "B", "C"]
    assert described(CoRAGReworded, MULTI, task_description="D") == "D"
    assert task_description({"nq": "A"}, {"any": "B"}, MULTI) == "B"


def test_the_authors_multi_hop_description_serves_no_other_task(known, tmp_path):
    (plan,) = plans("corag", prompts=str(known))
    check_plan(plan, tmp_path)
    (plan,) = plans("corag", task="nq", prompts=str(known))
    with pytest.raises(ConfigError, match=r"task 'nq': the prompts describe multi-hop tasks alone"):
        check_plan(plan, tmp_path)
    given = {"nq": "Answer what people typed into a search engine."}
    (plan,) = plans("corag", task="nq", prompts=str(known), task_description=given)
    check_plan(plan, tmp_path)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_run_is_told_its_task_and_its_hops_make_its_id(form, tmp_path):
    name = next(key for key, value in FORMS.items() if value is form)
    single, multi = (plans(name, task=task)[0] for task in ("triviaqa", "musique"))
    assert (single.config.task.hops, multi.config.task.hops) == ("single", "multi")
    assert plans("bm25", task="musique")[0].config.task.hops is None
    assert "hops" not in single.config.task.settings(), "tables compare it with other methods"
    model = form.script(["Oster port"])
    method = form.cls(form.cls.Params(max_path_length=1))
    make_engine(method, model, prompts=form.prompts, task=SINGLE).run(queries(1), lambda _: None)
    prompts = " ".join(as_text(request.prompt) for request in model.requests)
    assert REWORDED.tasks["single-hop"] in prompts
    assert REWORDED.tasks["multi-hop"] not in prompts


def test_each_row_has_a_name_of_its_own():
    names = ("corag", "corag-reworded", "corag-prompted")
    cards = [load_method(name).card for name in names]
    assert len({card.title for card in cards}) == 3
    assert "other words" in cards[1].summary
    assert [load_method(name).version() for name in names] == [2, 1, 2]


def test_the_token_that_ends_a_turn_counts_in_the_penalty_of_a_local_chat_model(tmp_path):
    from harness.llm.local import LocalModel
    from tests.tiny import build_tiny_model
    from tests.tiny_checkpoints import build_tiny_llama_chat

    llama, chatml = build_tiny_llama_chat(tmp_path / "a"), build_tiny_model(tmp_path / "b")
    for folder, style, end in [
        (llama, "chat", "<|eot_id|>"),
        (chatml, "chat", "<|im_end|>"),
        (chatml, "completion", ""),
    ]:
        config = ModelConfig(name="tiny", path=str(folder), prompt_style=style)
        assert LocalModel(config, str(folder)).turn_end == end
    assert RuleModel(style="chat").turn_end == ""


def test_a_template_that_ends_turns_with_nothing_has_no_such_token(tmp_path):
    from harness.llm.local import LocalModel
    from tests.tiny import build_tiny_model

    folder = build_tiny_model(tmp_path / "tiny")
    llm = LocalModel(ModelConfig(name="t", path=str(folder), prompt_style="chat"), str(folder))
    llm.tokenizer.chat_template = "{% for m in messages %}{{ '\\n' + m['content'] }}{% endfor %}"
    assert llm.turn_end == ""
