"""Bounds on calls, batches that change nothing, and CoRAG's own checkpoint."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.boards.method_entry import load_method
from harness.data.demonstrations import qa_prompts
from harness.errors import CapabilityError
from harness.llm.model_config import ModelConfig
from harness.llm.open import open_model
from harness.llm.requests import as_text
from harness.testing.conformance import check_method
from harness.testing.models import RuleModel, WordRetriever, pick_words, small_task
from methods.corag.chain import NO_INFORMATION
from methods.corag.method import CoRAG, CoRAGPrompted, CoRAGReworded
from methods.corag.prompts import TemplatePrompts
from methods.corag.wording import REWORDED
from tests.harness.programs import DATA, answer_all, open_with, predictions, queries
from tests.methods.corag_lab import FORMS, Form, notes, searches, trained
from tests.tiny_checkpoints import build_tiny_llama_chat

FOR_BOTH = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
STRATEGIES = ("greedy", "best_of_n", "tree")
SMALL = {"max_path_length": 2, "chains": 2, "expand_size": 2, "rollouts": 1}


def most_calls(p: CoRAG.Params) -> int:
    """What the method's docstring promises."""
    hops, tries, expand = p.max_path_length, p.tries, p.expand_size
    if p.strategy == "greedy":
        return 2 + hops * (tries + 2)
    if p.strategy == "best_of_n":
        return 2 + p.chains * (hops * (tries + 2) + 1)
    outlook = max(p.rollouts, 1) * (p.rollout_steps * (tries + 2) + 1)
    return 2 + hops * p.beam_size * int(1.5 * expand + expand * (2 + outlook))


REPLIES = {
    "nothing": lambda _: "",
    "the same": lambda _: "Vell",
    "a label alone": lambda _: "Intermediate query 1:",
    "a refusal": lambda _: "No relevant information found",
    "never an end": lambda _: "Vell and " * 500,
    "many lines": lambda _: "\n\n".join(f"Query {n}: Vell {n}" for n in range(50)),
    "something new": pick_words,
}
PARAMS = {
    "strategy": st.sampled_from(STRATEGIES),
    "max_path_length": st.integers(0, 4),
    "tries": st.integers(1, 4),
    "chains": st.integers(1, 4),
    "expand_size": st.integers(1, 4),
    "beam_size": st.integers(1, 3),
    "rollouts": st.integers(0, 2),
    "rollout_steps": st.integers(1, 3),
}


@given(
    name=st.sampled_from(sorted(FORMS)),
    reply=st.sampled_from(sorted(REPLIES)),
    most=st.sampled_from([None, 0, 1]),
    probability=st.sampled_from([0.0, 0.3, 1.0]),
    values=st.fixed_dictionaries(PARAMS),
)
def test_no_model_or_retriever_takes_more_calls_than_promised(
    name, reply, most, probability, values
):
    form = FORMS[name]
    model = RuleModel(REPLIES[reply], probability=lambda *_: probability, verbose=True)
    found = form.ask(trained(model), most=most, **values)
    used = found.usage.llm_calls + found.usage.retrievals
    assert used <= most_calls(form.cls.Params(**values))
    assert found.usage.retrievals == len(searches(found))
    assert len(found.ranked_ids) == len(found.ranked)


@FOR_BOTH
def test_the_promised_calls_are_taken_where_only_the_last_try_succeeds(form: Form):
    turn = count(1)

    def reply(request):
        if form.sub_query not in as_text(request.prompt):
            return "said"
        return f"Vell {n}" if (n := next(turn)) % 4 == 0 else ""

    found = form.ask(trained(RuleModel(reply)), max_path_length=3)
    assert searches(found)[1:] == ["Vell 4", "Vell 8", "Vell 12"]
    assert found.usage.llm_calls + found.usage.retrievals == 20
    assert most_calls(form.cls.Params(max_path_length=3)) == 20


@FOR_BOTH
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_batched_is_what_one_at_a_time_is_in_a_third_of_the_batches(form: Form, strategy):
    asked = queries(16)
    values = {"strategy": strategy, "max_path_length": 2, "expand_size": 2}
    together, batches = form.run(trained(RuleModel()), asked, **values)
    alone, single = form.run(trained(RuleModel()), asked, window=1, **values)
    assert together == alone
    assert len({prediction.answer for prediction in alone}) > 8
    assert 3 * batches <= single


@pytest.mark.parametrize(("form", "strategy"), zip(FORMS.values(), STRATEGIES[1:], strict=True))
def test_every_strategy_keeps_the_rules_of_a_method(form: Form, strategy):
    """But the default one, which ``test_builtin`` tries; forms differ in what they are told."""
    values = {"strategy": strategy, **SMALL}
    check_method(form.cls, values, max_calls=most_calls(form.cls.Params(**values)))


@FOR_BOTH
def test_the_seed_decides_what_is_sampled_and_only_that(form: Form):
    def answers(seed):
        method = form.cls(form.cls.Params(strategy="best_of_n", **SMALL))
        return predictions(method, queries(4), trained(RuleModel()), seed=seed)

    assert answers(1) == answers(1)
    assert answers(1) != answers(2)
    greedy = [
        predictions(form.cls(), queries(4), trained(RuleModel()), seed=seed) for seed in (1, 2)
    ]
    assert [p.answer for p in greedy[0].values()] == [p.answer for p in greedy[1].values()]


def test_corag_stops_at_once_on_a_model_that_was_not_trained_for_it():
    model = RuleModel(name="plain-model")
    with pytest.raises(CapabilityError) as caught:
        answer_all(CoRAGReworded(), queries(1), model)
    for said in ("'CoRAGReworded'", "'plain-model'", "training for 'corag'", "'corag-prompted'"):
        assert said in str(caught.value)
    assert answer_all(CoRAGPrompted(), queries(1), model)


def test_the_names_lead_to_the_classes():
    names = ("corag", "corag-reworded", "corag-prompted")
    assert tuple(map(load_method, names)) == (CoRAG, CoRAGReworded, CoRAGPrompted)
    assert CoRAG.prompted_variant == CoRAGReworded.prompted_variant == "corag-prompted"


def test_the_defaults_are_the_papers():
    params = CoRAG.Params()
    assert (params.k, params.final_k, params.max_path_length, params.tries) == (5, 20, 6, 4)
    assert (params.sub_query_tokens, params.sub_answer_tokens, params.max_tokens) == (64, 128, 128)
    assert (params.strategy, params.temperature, params.chains) == ("greedy", 0.7, 4)
    assert (params.expand_size, params.rollouts, params.rollout_steps) == (4, 2, 2)
    assert (params.beam_size, params.shots) == (1, 0)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small Llama with Llama 3's chat format, entered as trained for CoRAG."""
    folder = build_tiny_llama_chat(tmp_path_factory.mktemp("corag") / "tiny")
    config = ModelConfig(
        name="tiny-corag", path=str(folder), prompt_style="chat", trained_for=("corag",)
    )
    return open_model(config, device="cpu")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_checkpoint_of_the_authors_form_answers_end_to_end(checkpoint, strategy):
    data = small_task()
    limits = {"sub_query_tokens": 6, "sub_answer_tokens": 6, "max_tokens": 6, "final_k": 3, "k": 2}
    method = CoRAGReworded(CoRAGReworded.Params(strategy=strategy, **SMALL, **limits))
    found = {}
    engine = open_with(
        method,
        checkpoint,
        WordRetriever(data.corpus),
        data.corpus,
        prompts=qa_prompts(data, method.params.shots, 0),
    )
    engine.run(
        [question.query for question in data.questions[:3]],
        lambda answered: found.update({answered.question_id: answered.prediction}),
    )
    for prediction in found.values():
        assert prediction.error is None
        assert prediction.steps[-1].data["prompt"].startswith("<user>\n")
        kinds = {step.kind for step in prediction.steps}
        assert {"hop", "generate", "search"} <= kinds
        assert ("chosen" in kinds) == (strategy != "greedy")
        assert prediction.usage.prompt_tokens > 500


def test_the_penalty_of_a_checkpoint_is_its_mean_log_probability_of_the_refusal(checkpoint):
    import torch

    method = CoRAGReworded(
        CoRAGReworded.Params(strategy="best_of_n", chains=1, max_path_length=0, max_tokens=4)
    )
    query = DATA.questions[0].query
    (found,) = predictions(method, [query], checkpoint).values()
    (note,) = notes(found, "penalty")

    prompts = TemplatePrompts(REWORDED.tasks["any"])
    (message,) = prompts.chain_alone(query, ()).render("chat")
    tokenizer = checkpoint.tokenizer
    turn = [{"role": message.role, "content": message.content}]
    text = tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
    prompt, refusal = (
        tokenizer(part, add_special_tokens=False)["input_ids"]
        for part in (text, f"{NO_INFORMATION}<|eot_id|>")
    )
    assert refusal[-1] == tokenizer.eos_token_id, "the end of the turn is one token of the mean"
    with torch.inference_mode():
        logits = checkpoint.model(torch.tensor([prompt + refusal])).logits[0].log_softmax(-1)
    places = range(len(prompt) - 1, len(prompt) + len(refusal) - 1)
    wanted = [float(logits[place, token]) for place, token in zip(places, refusal, strict=True)]
    assert note["penalty"] == pytest.approx(sum(wanted) / len(wanted), abs=1e-3)
