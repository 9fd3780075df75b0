"""README's boards: the blocks that show what commands print, written anew by one command.

python -m tests.readme_board                   # the standing board, of the results that ship
python -m tests.readme_board runs/quickstart   # that, and the demo's table, of these runs
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from harness.runs.results import NoResultsError, find_results
from leaderboards.view import view
from leaderboards.writers import write
from tests.readme import README

STANDING, DEMO = "standing", "demo"


def block(name: str, text: str) -> str:
    """What stands between the markers of a name."""
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", text, re.S)
    assert found, f"README has no place <!-- {name} -->"
    return found[1]


def replaced(text: str, blocks: Mapping[str, str]) -> str:
    """The text with other blocks."""
    for name, content in blocks.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        text = text.replace(f"{begin}{block(name, text)}{end}", f"{begin}{content}{end}")
    return text


def first_table(runs: Path) -> str:
    """The first table that ``leaderboard RUNS`` prints, with what stands above and below it."""
    printed = write(view(runs), "markdown").decode()
    _, *parts = re.split(r"^## .*\n", printed, flags=re.M)
    return f"\n{parts[0].strip()}\n\n"


def standing() -> str:
    """The standing board's block, or why there is none."""
    try:
        return first_table(find_results(Path(STANDING)))
    except NoResultsError as reason:
        return f"\n_{str(reason).partition(': ')[2]}_\n\n"


def main() -> None:
    """Write the blocks."""
    blocks = {STANDING: standing()}
    if len(sys.argv) > 1:
        blocks[DEMO] = first_table(Path(sys.argv[1]))
    README.write_text(replaced(README.read_text(encoding="utf-8"), blocks), encoding="utf-8")
    print(f"written to {README}: {', '.join(blocks)}")


if __name__ == "__main__":
    main()
