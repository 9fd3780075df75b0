"""The learned stop rule of rounds: what it learns, where it is kept, and what it decides."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from harness.errors import ConfigError, InputError
from methods.parametric_qa.choose import Chooser, covered
from methods.parametric_qa.memory.bank import BankConfig, MemoryBank
from methods.parametric_qa.shared.bundle import Bundle, SelectorConfig, contents_fingerprint
from methods.parametric_qa.shared.initial import span_codes
from methods.parametric_qa.shared.open_bundle import trained_bundle
from methods.parametric_qa.shared.stop import FIGURES, STOP_FILE, StopRule, round_figures
from methods.parametric_qa.train import train_stop
from methods.parametric_qa.train.checks import check_recipe
from methods.parametric_qa.train.curves import Curves, read_curves
from methods.parametric_qa.train.features import Features
from methods.parametric_qa.train.passage_codes import PassageCodes
from methods.parametric_qa.train.recipe import SelectorTraining, Tuning
from tests.methods.parametric_qa.lab import NAMES, TEXTS, load_tiny, make_parts, tokens
from tests.methods.parametric_qa.training_lab import recipe, run, toy_task

NEVER = StopRule(coefficients=(0.0,) * 5, constant=-1.0)
ALWAYS = StopRule(coefficients=(0.0,) * 5, constant=1.0)


@pytest.fixture(scope="module")
def tiny(tiny_model_dir):
    return load_tiny(tiny_model_dir)


def drawn(count: int = 400):
    source = np.random.default_rng(0)
    rows = source.normal(size=(count, 5)) * [0.2, 0.1, 0.05, 6, 1] + [0.5, 0.6, 0.1, 20, 2]
    return rows, source


@pytest.mark.numeric
def test_rows_that_a_line_parts_are_parted():
    rows, _ = drawn()
    enough = rows[:, 2] + rows[:, 0] / 4 > 0.225
    kept = np.abs(rows[:, 2] + rows[:, 0] / 4 - 0.225) > 0.01
    rule = StopRule.fit(rows[kept], enough[kept])
    assert [rule.stops(row) for row in rows[kept]] == enough[kept].tolist()
    assert StopRule.fit(rows[kept], enough[kept]) == rule


@pytest.mark.numeric
def test_a_rule_is_the_regression_that_scikit_learn_finds():
    rows, source = drawn()
    enough = source.random(400) < 1 / (1 + np.exp(-8 * (rows[:, 0] - 0.5) - (rows[:, 4] - 2)))
    rule = StopRule.fit(rows, enough)
    scaler = StandardScaler().fit(rows)
    wanted = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(scaler.transform(rows), enough)
    assert rule.coefficients == pytest.approx(wanted.coef_[0] / scaler.scale_, rel=1e-4)
    constant = wanted.intercept_[0] - wanted.coef_[0] @ (scaler.mean_ / scaler.scale_)
    assert rule.constant == pytest.approx(constant, rel=1e-4)


@pytest.mark.parametrize("answer", [True, False])
def test_rows_of_one_kind_and_figures_that_never_change(answer):
    rule = StopRule.fit([[0.5, 0.5, 0.1, 20.0, 2.0]] * 3, [answer] * 3)
    assert rule.coefficients == (0.0,) * 5
    assert rule.stops([0.1, 0.9, 0.0, 5.0, 1.0]) is answer
    with pytest.raises(ValueError, match="needs rows"):
        StopRule.fit([], [])


def test_figures_of_a_round():
    found = round_figures(8, 2, torch.tensor([0.1, 0.7, 0.4]), 3)
    assert found == pytest.approx([0.75, 0.7, 0.3, 8.0, 3.0])
    assert round_figures(8, 8, torch.tensor([0.5]), 1) == pytest.approx([0.0, 0.5, 0.0, 8.0, 1.0])


def test_a_bundle_with_a_rule_comes_back_and_counts_its_bytes(tiny, tmp_path):
    bundle = Bundle.untrained(make_parts(tiny), SelectorConfig(width=16))
    style = {"prompt_style": tiny.prompt_style}
    rule = StopRule.fit(*_few())
    replace(bundle, stop=rule).save(tmp_path / "with", style)
    bundle.save(tmp_path / "without", style)
    found, plain = Bundle.load(tmp_path / "with"), Bundle.load(tmp_path / "without")
    assert found.stop == rule and plain.stop is None
    assert found.bytes == plain.bytes + (tmp_path / "with" / STOP_FILE).stat().st_size
    assert not (tmp_path / "without" / STOP_FILE).exists()
    assert found.fingerprint() == plain.fingerprint(), "codes mean the same"
    prints = {contents_fingerprint(tmp_path / name) for name in ("with", "without")}
    assert len(prints) == 2, "but runs are others"
    assert trained_bundle(tiny, str(tmp_path / "with"), "attention").stop == rule
    assert trained_bundle(tiny, str(tmp_path / "with"), "cosine").stop is None


def _few():
    rows, _ = drawn(20)
    return rows, rows[:, 0] > 0.5


def test_a_file_that_is_no_rule_is_named(tmp_path):
    ALWAYS.save(tmp_path)
    values = json.loads((tmp_path / STOP_FILE).read_text())
    for changes, told in (
        ({"figures": ["covered"]}, f"'figures' are not {FIGURES[0]}, "),
        ({"coefficients": [1.0]}, "'coefficients': "),
        ({"constant": "x"}, "'constant': "),
    ):
        (tmp_path / STOP_FILE).write_text(json.dumps(values | changes))
        with pytest.raises(InputError, match=f"{STOP_FILE}: {told}.*restore the folder"):
            StopRule.find(tmp_path)


def chooser(tiny, folder, rule, names=NAMES, texts=TEXTS):
    bundle = Bundle.untrained(make_parts(tiny, slots=8), SelectorConfig(width=64))
    config = BankConfig(slots=8, z_dim=64, fingerprint=bundle.fingerprint())
    bank = MemoryBank.create(folder, config)
    bank.add(list(names), span_codes(tiny, bundle.parts, tokens(tiny, texts)).detach())
    return Chooser(tiny, replace(bundle, stop=rule), bank)


def test_a_rule_decides_when_rounds_stop_and_none_leaves_the_fixed_one(tiny, tmp_path):
    texts = ("capital of Paris Seine", "the Nile Amazon", "polonium and radium")
    asked = ("Paris Seine", "Who invented the telephone on the Nile?")
    hops = {}
    for name, rule in (("never", NEVER), ("always", ALWAYS), ("fixed", None)):
        found = chooser(tiny, tmp_path / name, rule, ("paris", "nile", "curie"), texts)
        hops[name] = [[c.hop for c in found.choose(question, 2, hops=2)] for question in asked]
    assert hops == {
        "never": [[1, 2], [1, 2]], "always": [[1, 1], [1, 1]], "fixed": [[1, 1], [1, 2]]
    }  # fmt: skip


def test_a_rule_is_shown_the_figures_that_it_learned_from(tiny, tmp_path, monkeypatch):
    found = chooser(tiny, tmp_path, NEVER)
    seen = []
    monkeypatch.setattr(StopRule, "stops", lambda self, figures: seen.append(figures) or False)
    chosen = found.choose("Who wrote Hamlet?", 3, hops=3)
    tokens_ = found.tokens("Who wrote Hamlet?")
    scores = found.bundle.selector.scores(tokens_, found.keys).sort(descending=True).values
    for place, figures in enumerate(seen, start=1):
        memories = found._memories(chosen[:place])
        share = covered(tokens_, memories).float().mean()
        wanted = [float(share), float(scores[0]), float(scores[0] - scores[1]), len(tokens_), place]
        assert figures == pytest.approx(wanted, abs=1e-5)
    assert len(seen) == 2


def test_rounds_of_train_questions_are_among_free_passages(tiny):
    task = toy_task()
    features = Features(tiny, [task])
    bundle = Bundle.untrained(make_parts(tiny), SelectorConfig(width=32), features.table)
    codes = PassageCodes(features, bundle.parts)
    asked = [("toy", q) for q in task.train]
    rounds = train_stop._rounds(bundle, codes, features, asked, free=True)
    assert len(rounds) == len(train_stop.CHOSEN) * len(asked)
    keys = bundle.selector.keys(codes.of("toy", task.free))
    for (_, question), first in zip(asked, rounds[::3], strict=True):
        scores = bundle.selector.scores(features.question_embeddings(question.text), keys)
        best = task.free[int(scores.argmax())]
        assert first.enough == (best == question.gold_doc_ids[0])
        assert first.figures[1] == pytest.approx(float(scores.max()))
    for first, second, third in zip(rounds[::3], rounds[1::3], rounds[2::3], strict=True):
        assert [r.figures[-1] for r in (first, second, third)] == [1, 2, 3]
        assert first.enough <= second.enough <= third.enough
        assert first.figures[0] <= third.figures[0] + 1e-9 or not third.enough


def test_training_writes_a_rule_and_what_it_is_worth(tiny_model_dir, tmp_path):
    task = toy_task()
    options = {"steps": 1, "selection": SelectorTraining(steps=2, batch=4, random=4)}
    for name in ("one", "two"):
        run(tiny_model_dir, task, tmp_path / name, stop="learned", **options)
    rule = Bundle.load(tmp_path / "one").stop
    assert rule is not None and rule == Bundle.load(tmp_path / "two").stop
    told = {measure: value for _, measure, value, _ in read_curves(tmp_path / "one/curves.csv")}
    assert 0 <= told["validation stop toy"] <= 1
    assert "validation stop by the fixed rule toy" in told
    run(tiny_model_dir, task, tmp_path / "one", **options)
    assert Bundle.load(tmp_path / "one").stop is None
    assert not (tmp_path / "one" / STOP_FILE).exists()


def test_without_train_questions_there_is_none(tiny, tmp_path):
    features = Features(tiny, [replace(toy_task(), train=())])
    bundle = Bundle.untrained(make_parts(tiny), SelectorConfig(width=32))
    codes = PassageCodes(features, bundle.parts)
    curves = Curves(tmp_path / "curves.csv")
    assert train_stop.train_stop(bundle, codes, features, curves, 0) is None


def test_recipes_of_before_are_as_they_were():
    assert "stop" not in recipe().model_dump()
    assert recipe(stop="learned").model_dump()["stop"] == "learned"


@pytest.mark.parametrize(
    "changes",
    [
        {"selector": SelectorConfig(name="states")},
        {"init": "encoder", "tuning": Tuning(mode="frozen", parts=False),
         "selection": SelectorTraining(steps=0)},
    ],
)  # fmt: skip
def test_a_rule_for_a_selector_that_is_not_there_is_refused(changes):
    with pytest.raises(ConfigError, match="stop: learned is of a selector"):
        check_recipe(recipe(stop="learned", **changes))
