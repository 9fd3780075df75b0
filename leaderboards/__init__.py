"""From finished runs to tables. ``BOARDS`` names the shipped boards and where their YAML is."""

from __future__ import annotations

from pathlib import Path

BOARDS: dict[str, str] = {
    path.stem: str(path) for path in sorted((Path(__file__).parent / "boards").glob("*.yaml"))
}
