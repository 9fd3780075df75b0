"""Plain lines where nobody watches, one live bar where somebody does."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from harness import progress
from harness.progress import CallbackBar, bar, say


def console(terminal: bool) -> Console:
    environment = {"TERM": "xterm"}
    return Console(file=StringIO(), force_terminal=terminal, width=60, _environ=environment)


def text(shown: Console) -> str:
    assert isinstance(shown.file, StringIO)
    return shown.file.getvalue()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    return now


def test_plain_lines_come_now_and_then(clock: list[float]) -> None:
    plain = console(terminal=False)
    with bar(plain, "nq / bm25", 200, 100) as shown:
        for _ in range(90):
            clock[0] += 1
            shown.advance()
    lines = text(plain).splitlines()
    assert lines[0] == "nq / bm25: 115/200, 1/s, 85 s left"
    assert lines[-1] == "nq / bm25: 190/200 in 90.0 s"
    assert len(lines) == 90 // 15 + 1
    assert "\x1b" not in text(plain)


@pytest.mark.parametrize(
    ("steps", "rate"), [(1, "0.1/s"), (32, "3.2/s"), (1234, "123/s"), (50_000, "5000/s")]
)
def test_rates_are_readable(clock: list[float], steps: int, rate: str) -> None:
    with bar(console(terminal=False), "x", 100_000) as shown:
        shown.done, clock[0] = steps, 10.0
        assert f", {rate}, " in shown.line()


def test_a_terminal_gets_a_live_bar() -> None:
    live = console(terminal=True)
    with bar(live, "nq [bold]/ bm25", 10, 4) as shown:
        shown.advance(5)
        shown._progress.refresh()  # type: ignore[attr-defined]
    assert "nq [bold]/ bm25" in text(live)  # not markup
    assert "9/10" in text(live)
    assert "\x1b[" in text(live)
    assert text(live).rstrip().endswith("s")


def test_bars_close_when_interrupted() -> None:
    live = console(terminal=True)
    with pytest.raises(KeyboardInterrupt), bar(live, "x", 10):
        raise KeyboardInterrupt
    with bar(live, "y", 10):  # rich allows one live bar at a time
        pass


@pytest.mark.parametrize("terminal", [False, True])
def test_a_callback_bar_shows_only_what_reports(terminal: bool) -> None:
    silent, heard = console(terminal), console(terminal)
    with CallbackBar(silent, "index"):
        pass
    with CallbackBar(heard, "index") as shown:
        for done in (10, 30, 100):
            shown(done, 100)
    assert text(silent) == ""
    assert "index: 100/100 in" in text(heard)


def test_messages_are_never_wrapped() -> None:
    narrow = console(terminal=False)
    say(narrow, "error [red]" * 20)
    assert text(narrow) == "error [red]" * 20 + "\n"
