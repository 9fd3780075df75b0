"""Foreign text in the page: shown as it is, run never."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.records import Hit, Passage, Prediction, Question, Step, Usage
from harness.runs.manifest import CardRecord
from harness.runs.scoring import score_run
from leaderboards.page import to_html
from leaderboards.page.pack import in_markup
from leaderboards.view import view
from tests.leaderboards.page.chromium import Chromium, Tab, tab
from tests.leaderboards.page.synthetic import data_of, write_run

NASTY = (
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 2'>",
    "<!--<script>",
    "\"'`${window.hacked = 3}&lt;b&gt; &#60;i&#62;",
    "javascript:window.hacked=4",
    "\u202eright to left \u2066 \u05d0\u05d1\u05d2",
    "line\u2028separator\u2029\x00\x1b[31m\x7f",
    "]]> \\u003c/script\\u003e \\",
    "__proto__",
)
LONE, LONG = "half of a pair: LONE", "x" * 100_000
SCRIPT = (
    "(() => { const s = document.createElement('script'); s.text = 'window.hacked = 5';"
    " document.body.append(s); })()"
)
PICTURE = (
    "new Promise(done => { const i = new Image(); i.onerror = done;"
    " i.src = 'https://example.com/'; }).then(() => 1)"
)


def passage(place: int, text: str) -> Passage:
    text = text.replace("\0", "")  # the one of these that a corpus refuses
    return Passage(f"{place} {text[:40]}", "".join(text[:90].splitlines()), text)


def answer(place: int, text: str, id_: str) -> Prediction:
    step = Step(text[:50], {text[:50]: text, "nested": {"<b>": [text]}, "prompt": text})
    return Prediction(
        text,
        ranked=[Hit(id_), Hit("__proto__")],
        raw=f"{text} {text[:20]}",
        usage=Usage(1, 1, 5, 5),
        steps=(step,),
        error=text if place % 3 == 0 else None,
    )


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page in which every text that comes from outside is hostile."""
    root = tmp_path_factory.mktemp("hostile")
    texts = [*NASTY, LONE, LONG]
    passages = [passage(i, text) for i, text in enumerate(texts)]
    questions = [
        Question(f"{text[:14]} {i}", text, (text, "gold"), (passages[i].id,))
        for i, text in enumerate(texts)
    ]
    data = data_of(root, "hostile", questions, passages)
    answers = [answer(i, text, passages[i].id) for i, text in enumerate(texts)]
    card = CardRecord(title=NASTY[0], summary=NASTY[1], paper=NASTY[4], deviations=NASTY)
    strange = {"model": NASTY[0], "hardware": NASTY[1], "card": card}
    for seed in range(3):
        params = {text: text for text in NASTY[seed::3]}
        folder = write_run(
            root / "runs", data, "bm25", answers, params=params, seed=seed, **strange
        )
        path = folder / "predictions.jsonl"
        # JSON can spell half of a surrogate pair; our writers refuse to.
        path.write_bytes(path.read_bytes().replace(b"LONE", rb"\ud800"))
        score_run(folder)
    path = root / "board.html"
    path.write_bytes(to_html(view(root / "runs")))
    return path


def open_questions(window: Tab, html: Path) -> None:
    window.open(html.as_uri())
    window.run("document.getElementById('questions').scrollIntoView({behavior: 'instant'})")
    window.until("document.querySelectorAll('#question .answer').length > 0")


def test_hostile_text_is_shown_and_never_run(window: Tab, html: Path) -> None:
    open_questions(window, html)
    window.click("#tables [data-key=All]")
    assert window.run("browserState.shown.length") == len(NASTY) + 2
    shown = []
    for place in range(len(NASTY) + 2):
        window.run(f"select({place}, {{scroll: true}})")
        window.until(
            f"document.querySelector('#question .bar')?.textContent.startsWith('{place + 1} of')"
        )
        window.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
        window.until("document.querySelector('#question .trace') !== null")
        texts = "document.querySelectorAll('#question .says, #question h3')"
        shown += window.run(f"[...{texts}].map(e => e.textContent.toWellFormed())")
    for text in NASTY:
        assert sum(text in each for each in shown) >= 2, text
    assert any("half of a pair: \ufffd" in each for each in shown)
    assert window.run("window.hacked") is None
    nothing = "img, bdi b, bdi i, bdi script, a[href^=javascript]"
    assert window.run(f"document.querySelectorAll({nothing!r}).length") == 0


def test_a_long_answer_is_cut_and_says_so(window: Tab, html: Path) -> None:
    open_questions(window, html)
    window.run(
        "select(browserState.shown.findIndex(i => browserState.index.ids[i].startsWith('xxxx')))"
    )
    window.until("document.querySelector('#question .bar')?.textContent.includes('xxxx')")
    window.run("document.querySelector('#question details').open = true")
    inside = "document.querySelector('#question .inside').textContent"
    window.until(f"{inside}.includes('100,000 letters in all')")
    assert window.run("document.querySelector('#question .says').textContent.length") <= 400


def test_a_phone_is_not_widened_by_hostile_text(window: Tab, html: Path) -> None:
    window.size(360, 740, phone=True)
    open_questions(window, html)
    window.run("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert window.run("document.documentElement.scrollWidth") == 360


def test_the_policy_stops_what_would_slip_through(browser: Chromium, html: Path) -> None:
    with tab(browser) as window:
        window.open(html.as_uri())
        window.run("document.body.setAttribute('style', 'color: red')")
        assert window.run("document.body.style.color") == ""
        for script in (
            "document.body.innerHTML = '<b>x</b>'",
            "document.write('x')",
            "eval('1')",
            SCRIPT,
        ):
            with pytest.raises(RuntimeError, match="Trusted|Content Security Policy"):
                window.run(script)
        with pytest.raises(RuntimeError, match="fetch"):
            window.run("fetch('https://example.com/')")
        window.run(PICTURE)
        assert window.run("window.hacked") is None
        assert len(window.complaints()) >= 6, "the client sees what other tests expect none of"


@pytest.mark.parametrize("text", [*NASTY, "\ud800", LONG])
def test_escaped_json_is_the_value_and_no_markup(text: str) -> None:
    escaped = in_markup({text: [text]})
    assert not set(escaped) & set("<>&\u2028\u2029") and escaped.isascii()
    assert json.loads(escaped) == {text: [text]}
