"""The command line: a file for each command or family, and nothing that other rooms need."""

COMMANDS: dict[str, str] = {
    "run": "harness.cli.run:run",
    "sweep": "harness.cli.sweep:sweep",
    "score": "harness.cli.score:score",
    "show": "harness.cli.score:show",
    "embed": "harness.cli.embed:embed",
    "list": "harness.cli.names:list_names",
    "describe": "harness.cli.names:describe",
    "matrix": "harness.cli.matrix:matrix",
    "doctor": "harness.cli.doctor:doctor",
    "lm-eval": "harness.cli.lm_eval:app",
}
"""Command -> ``module:function``, imported when first used."""
