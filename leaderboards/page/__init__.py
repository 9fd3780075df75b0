"""A leaderboard as a page: one HTML file that needs nothing else and asks the network for nothing.

Foreign text stands in it as escaped JSON or packed, and the page's scripts put it into the document
as text alone. The Content-Security-Policy names every script and style by its hash and allows
nothing else, so that what slipped through would not run either.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape
from pathlib import Path
from string import Template

from leaderboards.page.data import of_tasks, page_data
from leaderboards.page.pack import in_markup
from leaderboards.page.questions import Browser, read_browsers
from leaderboards.view import View

FOLDER = Path(__file__).parent
STYLES = ("styles/base.css", "styles/tables.css", "styles/questions.css", "styles/narrow.css")
SCRIPTS = (
    "vendor/chart.js",
    "scripts/dom.js",
    "scripts/looks.js",
    "scripts/plots.js",
    "scripts/tables.js",
    "scripts/tradeoffs.js",
    "scripts/curves.js",
    "scripts/published.js",
    "scripts/blocks.js",
    "scripts/browser.js",
    "scripts/passages.js",
    "scripts/question.js",
    "scripts/provenance.js",
    "scripts/main.js",
)
"""In the order in which they run; each stands in an element of its own."""


def to_html(view: View) -> bytes:
    """The page of a board. The same runs give the same bytes.

    Raises InputError for runs whose predictions or gold are missing or broken.
    """
    browsers = list(read_browsers(of_tasks(view.board)))
    data = page_data(view) | {"browsers": [browser.head for browser in browsers]}
    styles, scripts = [_source(name) for name in STYLES], [_source(name) for name in SCRIPTS]
    page = Template((FOLDER / "template.html").read_text(encoding="utf-8")).substitute(
        policy=_policy(styles, scripts),
        title=escape(f"{data['title']}: {data['runs']}"),
        styles="\n".join(f"<style>{text}</style>" for text in styles),
        data=in_markup(data),
        parts="\n".join(_parts(browsers)),
        scripts="\n".join(f"<script>{text}</script>" for text in scripts),
    )
    return page.encode()


def _source(name: str) -> str:
    """A style or script as it stands in the page: without the name of a map that is not there."""
    return (FOLDER / name).read_text(encoding="utf-8").partition("//# sourceMappingURL")[0]


def _policy(styles: list[str], scripts: list[str]) -> str:
    """Nothing but these styles and scripts, and no text that would be read as markup."""
    rules = {
        "default-src": "'none'",
        "script-src": " ".join(map(_hash, scripts)),
        "style-src": " ".join(map(_hash, styles)),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _parts(browsers: list[Browser]) -> list[str]:
    parts = {}
    for browser in browsers:
        name = browser.head["table"]
        parts[f"{name}-index"] = browser.index
        parts |= {f"{name}-{i}": block for i, block in enumerate(browser.blocks)}
    return [
        f'<script type="application/gzip" id="{id_}">{text}</script>' for id_, text in parts.items()
    ]
