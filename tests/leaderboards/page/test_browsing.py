"""The page in a real browser: what readers do with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from leaderboards.view import view
from tests.leaderboards.page.chromium import Tab
from tests.leaderboards.page.conftest import QUESTIONS

NAMES = (
    "[...document.querySelectorAll('#table tbody th .name > span > bdi:first-child')]"
    ".map(e => e.textContent)"
)
SHOWN = "[...document.querySelectorAll('#question-list .option')]"
COUNT = "document.getElementById('question-count').textContent"


def open_questions(page: Tab) -> None:
    page.run("document.getElementById('questions').scrollIntoView({behavior: 'instant'})")
    page.until("document.querySelectorAll('#question .answer').length > 0")


def choose(page: Tab, id_: str, value: str) -> None:
    page.run(
        f"(() => {{ const s = document.getElementById('{id_}'); s.value = '{value}';"
        " s.dispatchEvent(new Event('change')); })()"
    )


def write(page: Tab, id_: str, text: str) -> None:
    page.run(f"document.getElementById('{id_}').select(); document.getElementById('{id_}').focus()")
    page.call("Input.insertText", text=text)


def test_every_section_is_there_and_named_in_the_navigation(page: Tab) -> None:
    sections = page.run("[...document.querySelectorAll('#sections a')].map(e => e.textContent)")
    assert sections == [
        "Tables", "Trade-offs", "Tasks", "Learning", "Published", "Questions", "Runs", "Glossary"
    ]  # fmt: skip
    ids = page.run("[...document.querySelectorAll('#sections a')].map(e => e.hash.slice(1))")
    assert all(page.run(f"document.getElementById('{id_}') !== null") for id_ in ids)


def test_the_table_is_the_boards(page: Tab, board: Path) -> None:
    table = view(board).board.tables[0]
    assert page.run(NAMES) == [row.label.partition(" ")[0] for row in table.rows]
    shown = page.run(
        "[...document.querySelectorAll('#table tbody tr td:nth-child(3) > span:first-child')]"
        ".map(e => e.textContent)"
    )
    assert shown == [f"{100 * row.f1.mean:.1f}" for row in table.rows]


def test_a_header_sorts_by_click_and_by_key(page: Tab) -> None:
    page.click("#sort-tokens")
    assert page.run(NAMES) == ["gold-passages", "no-retrieval", "bm25", "parametric-qa"]
    assert page.run("document.activeElement.id") == "sort-tokens"
    assert page.run("document.activeElement.parentNode.ariaSort") == "ascending"
    page.press("Enter")
    assert page.run(NAMES) == ["parametric-qa", "bm25", "no-retrieval", "gold-passages"]
    page.press(" ")
    assert page.run("document.activeElement.parentNode.ariaSort") == "ascending"
    # What is missing comes last either way.
    for _ in range(2):
        page.click("#sort-recall")
        assert page.run(NAMES)[-1] == "no-retrieval"


def test_rows_are_filtered_and_tables_chosen(page: Tab) -> None:
    write(page, "row-filter", "PARAM k=2")
    assert page.run(NAMES) == ["parametric-qa"]
    assert "1 of 4 rows" in page.run("document.querySelector('#table [role=status]').textContent")
    write(page, "row-filter", "nobody")
    assert page.run(NAMES) == []
    page.run("document.getElementById('row-filter').value = ''")
    page.click("#with-oracles")
    assert "gold-passages" not in page.run(NAMES)
    page.click("#tables [data-key=t1]")
    assert (
        page.run("document.querySelector('#table caption').textContent")
        == "alpha (sample): tiny-model"
    )
    page.click("#tables [data-key=All]")
    headers = page.run(
        "[...document.querySelectorAll('#table thead button')].map(e => e.textContent)"
    )
    assert {
        "Method",
        "F1",
        "Latency p50 / p90",
        "Throughput",
        "Memory peak",
        "Rank",
        "Errors",
    } <= set(headers)


def test_every_column_explains_itself_to_the_pointer_the_keyboard_and_a_screen_reader(
    page: Tab,
) -> None:
    page.click("#tables [data-key=All]")
    told = page.run(
        "[...document.querySelectorAll('#table thead button')].map(b => "
        "document.getElementById(b.getAttribute('aria-describedby')).textContent)"
    )
    assert all(len(text) > 20 for text in told) and len(set(told)) == len(told)
    page.run("document.getElementById('sort-method').focus()")
    page.press("Tab")
    assert page.run("document.getElementById('tip').textContent") == told[1]
    assert not page.run("document.getElementById('tip').hidden")
    page.press("Escape")
    assert page.run("document.getElementById('tip').hidden")
    page.point("#sort-f1")
    assert page.run("document.getElementById('tip').textContent") == told[2]


def test_the_keyboard_reaches_the_tables_and_shows_where_it_is(page: Tab) -> None:
    page.press("Tab")
    assert page.run("document.activeElement.className") == "skip"
    visible = (
        "getComputedStyle(document.activeElement).outlineStyle"
        " + document.activeElement.matches(':focus-visible')"
    )
    for _ in range(12):
        page.press("Tab")
        assert page.run(visible) == "solidtrue", page.run("document.activeElement.outerHTML")


def test_one_right_and_the_other_wrong(page: Tab) -> None:
    open_questions(page)
    assert page.run(COUNT) == f"{QUESTIONS} of {QUESTIONS} questions"
    choose(page, "side-0", "bm25")
    assert page.run(COUNT) == f"{QUESTIONS // 2} of {QUESTIONS} questions"
    choose(page, "side-1", "parametric-qa (k=2)")
    wanted = [f"q{i:04d}" for i in range(QUESTIONS) if i % 2 == 0 and i % 4]
    assert page.run("browserState.shown.map(place => browserState.index.ids[place])") == wanted
    assert page.run(COUNT) == f"{len(wanted)} of {QUESTIONS} questions"
    # The two that are compared are opened unasked.
    page.until("document.querySelectorAll('#question details.answer[open]').length === 2")
    choose(page, "right-0", "no")
    choose(page, "right-1", "yes")
    page.until("document.getElementById('question').textContent.includes('No question fits')")


def test_a_question_shows_gold_answers_passages_and_trace(page: Tab) -> None:
    open_questions(page)
    write(page, "question-search", "answer 8")
    page.until("document.querySelector('#question .chip')?.textContent === 'answer 8'")
    page.click("#question details[data-label=bm25] > summary")
    page.until("document.querySelector('#question details[data-label=bm25] .passage') !== null")
    inside = "document.querySelector('#question details[data-label=bm25] .inside')"
    assert page.run(f"[...{inside}.querySelectorAll('h4')].map(e => e.textContent)") == [
        "Reply", "Passages", "Trace"
    ]  # fmt: skip
    passages = page.run(f"[...{inside}.querySelectorAll('.passage')].map(e => e.textContent)")
    assert [text[:2] for text in passages] == ["1.", "2.", "3."]
    assert [" gold" in text for text in passages] == [False, True, False]
    assert ["not read" in text for text in passages] == [False, False, True]
    assert all(len(text.split()) > 20 for text in passages), "the texts of the passages"
    trace = page.run(f"[...{inside}.querySelectorAll('.step > strong')].map(e => e.textContent)")
    assert trace == ["search", "generate"]
    scores = page.run(
        "document.querySelector('#question details[data-label=bm25] .scores').textContent"
    )
    assert scores.startswith("EM 100 \u00b7 F1 100 \u00b7 Contains 100 \u00b7 Recall@5 100")


def test_arrow_keys_go_from_question_to_question_and_only_the_visible_ones_exist(page: Tab) -> None:
    open_questions(page)
    page.run("document.getElementById('question-list').focus()")
    selected = "document.querySelector('#question-list [aria-selected=true]').ariaPosInSet"
    for key, place in (
        ("ArrowDown", "2"),
        ("ArrowDown", "3"),
        ("ArrowUp", "2"),
        ("End", "60"),
        ("Home", "1"),
    ):
        page.press(key)
        assert page.run(selected) == place
    page.press("End")
    page.until(f"document.querySelector('#question').textContent.includes('q{QUESTIONS - 1:04d}')")
    assert page.run(f"{SHOWN}.length") < QUESTIONS / 2
    active = page.run(
        "document.getElementById('question-list').getAttribute('aria-activedescendant')"
    )
    assert page.run(f"document.getElementById('{active}').ariaSelected") == "true"
    assert page.run("document.getElementById('next').disabled")
    page.click("#previous")
    page.until(f"document.querySelector('#question').textContent.includes('q{QUESTIONS - 2:04d}')")


def test_a_question_has_an_address(page: Tab, html: Path) -> None:
    open_questions(page)
    choose(page, "question-table", "t2")
    page.until("location.hash === '#question/t2/q0000'")
    page.open(f"{html.as_uri()}#question/t2/q0007")
    page.until("document.querySelector('#question').textContent.includes('q0007')")
    assert page.run("document.getElementById('question-table').value") == "t2"


def test_the_front_is_of_rows_that_no_other_beats(page: Tab, board: Path) -> None:
    table = next(t for t in view(board).board.tables if t.kind == "task")
    points = [(r.cost.latency_p50, r.f1.mean, r.method) for r in table.rows if not r.oracle]
    front = [
        name
        for x, y, name in sorted(points)
        if not any((a <= x and b >= y) and (a, b) != (x, y) for a, b, _ in points)
    ]
    assert 1 < len(front) < len(points)
    said = page.run("document.querySelector('#tradeoff-plots figcaption').textContent")
    assert said == f"On the front: {', '.join(front)}."


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_plots_are_drawn_and_follow_the_colours(page: Tab, scheme: str) -> None:
    page.colours(scheme)
    page.run("document.getElementById('tradeoffs').scrollIntoView({behavior: 'instant'})")
    page.until("plots.size >= 3")
    ink = (
        "(() => { const c = document.querySelector('#tradeoff-plots canvas');"
        " const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        " let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n; })()"
    )
    assert page.run(ink) > 1000
    dark = "getComputedStyle(document.body).backgroundColor"
    first = page.run(dark)
    assert (sum(map(int, first[4:-1].split(","))) < 384) == (scheme == "dark")
    page.click(f"#theme [data-theme={'light' if scheme == 'dark' else 'dark'}]")
    assert page.run(dark) != first
    assert page.run("Chart.defaults.color") == page.run("colourNow('--muted')")
    page.click("#theme [data-theme=auto]")
    assert page.run(dark) == first


def test_times_are_plotted_at_either_percentile(page: Tab, board: Path) -> None:
    titles = "[...document.querySelectorAll('#tradeoff-plots h3')].map(e => e.textContent)"
    table = next(t for t in view(board).board.tables if t.kind == "task")
    page.run("document.getElementById('tradeoff-plots').scrollIntoView({behavior: 'instant'})")
    for share in ("p50", "p90"):
        page.click(f"#tradeoffs [data-key={share}]")
        assert page.run(titles)[:2] == [
            f"Latency {share}, seconds",
            f"First token {share}, seconds",
        ]
        first_two = "[...document.querySelectorAll('#tradeoff-plots canvas')].slice(0, 2)"
        # Those of the other percentile may not be gone yet.
        page.until(f"{first_two}.every(c => plots.has(c))")
        plotted = page.run(
            f"{first_two}.map(c =>"
            " plots.get(c)[0].data.datasets.filter(d => d.row).map(d => d.data[0].x))"
        )
        for name, found in zip(("latency", "ttft"), plotted, strict=True):
            assert found == pytest.approx([getattr(r.cost, f"{name}_{share}") for r in table.rows])
    said = page.run("document.getElementById('tradeoff-missing').textContent")
    assert said == "Not plotted: Calls (all rows have the same)."


def test_hovering_names_a_point(page: Tab) -> None:
    page.run("document.getElementById('tradeoff-plots').scrollIntoView({behavior: 'instant'})")
    page.until("plots.size >= 3")
    x, y = page.run(
        "(() => { const c = document.querySelector('#tradeoff-plots canvas');"
        " const r = c.getBoundingClientRect(), chart = plots.get(c)[0];"
        " const which = chart.data.datasets.findIndex(d => d.name === 'bm25');"
        " const p = chart.getDatasetMeta(which).data[0]; return [r.x + p.x, r.y + p.y]; })()"
    )
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    page.until(
        "plots.get(document.querySelector('#tradeoff-plots canvas'))[0].tooltip.title[0] === 'bm25'"
    )


def test_a_phone_scrolls_tables_in_their_box_alone(page: Tab, html: Path) -> None:
    page.size(360, 740, phone=True)
    page.open(html.as_uri())
    page.click("#tables [data-key=All]")
    open_questions(page)
    page.click("#question details.answer > summary")
    page.run("for (const d of document.querySelectorAll('details')) d.open = true")
    assert page.run("document.documentElement.scrollWidth") == 360
    assert page.run(
        "(() => { const b = document.querySelector('#table .scroll');"
        " return b.scrollWidth > b.clientWidth; })()"
    )


def test_published_figures_stand_apart_and_are_filtered(page: Tab) -> None:
    rows = "[...document.querySelectorAll('#published tbody tr')].map(e => e.textContent)"
    ours = page.run("[...document.querySelectorAll('#tables tbody tr')].map(e => e.textContent)")
    theirs = page.run(rows)
    assert theirs and not set(theirs) & set(ours)
    write(page, "published-filter", "claim proposal")
    claims = page.run(rows)
    assert 0 < len(claims) < len(theirs) and all("claim" in row for row in claims)
    said = page.run("document.querySelector('#published .warning').textContent")
    assert "never ranked with the rows above" in said


def test_where_a_run_is_from(page: Tab) -> None:
    page.run("document.querySelectorAll('#provenance details').forEach(d => { d.open = true; })")
    page.until("document.querySelectorAll('#provenance dl').length > 0")
    text = page.run("document.getElementById('provenance').textContent")
    assert all(
        word in text
        for word in (
            "tiny-model",
            "2 x CPU",
            "questions_fingerprint",
            "2026-11-26",
            "seed 0",
            "all replies",
        )
    )
