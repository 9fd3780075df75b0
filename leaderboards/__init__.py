"""Leaderboards: finished runs as tables; the shipped boards lie in ``boards/``."""

COMMANDS: dict[str, str] = {
    "leaderboard": "leaderboards.commands:leaderboard",
    "compare": "leaderboards.commands:compare",
    "beside": "leaderboards.commands:beside",
    "analyse": "leaderboards.commands:analyse",
    "floors": "leaderboards.floors.command:floors",
    "published": "leaderboards.commands:published",
    "export": "leaderboards.exchange:export",
    "merge": "leaderboards.exchange:merge",
}
"""Command -> ``module:function``, imported when first used."""

FRAMES: dict[str, str] = {"leaderboard": "leaderboards.frame:leaderboard"}
"""Frame -> ``module:function``, which makes it of a folder of runs."""
