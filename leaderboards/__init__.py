"""Leaderboards: finished runs as tables; the shipped boards lie in ``boards/``."""

COMMANDS: dict[str, str] = {
    "leaderboard": "leaderboards.commands:leaderboard",
    "compare": "leaderboards.commands:compare",
    "analyse": "leaderboards.commands:analyse",
}
"""Command -> ``module:function``, imported when first used."""
