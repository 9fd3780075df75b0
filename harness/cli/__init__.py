"""The command line: a file for each command or family, and nothing that other rooms need."""

COMMANDS: dict[str, str] = {
    "run": "harness.cli.run:run",
    "sweep": "harness.cli.sweep:sweep",
    "import-results": "harness.cli.import_results:import_results",
    "score": "harness.cli.score:score",
    "pack": "harness.cli.packing:pack",
    "unpack": "harness.cli.packing:unpack",
    "judge": "harness.cli.judge:judge",
    "show": "harness.cli.score:show",
    "import": "harness.cli.import_:app",
    "embed": "harness.cli.embed:embed",
    "index": "harness.cli.index:index",
    "list": "harness.cli.names:list_names",
    "describe": "harness.cli.names:describe",
    "matrix": "harness.cli.matrix:matrix",
    "new-method": "harness.cli.authors:new_method",
    "check-method": "harness.cli.authors:check_method",
    "check-retriever": "harness.cli.authors:check_retriever",
    "new-task": "harness.cli.authors:new_task",
    "check-task": "harness.cli.authors:check_task",
    "replies": "harness.cli.replies:replies",
    "doctor": "harness.cli.doctor:doctor",
    "lm-eval": "harness.cli.lm_eval:app",
}
"""Command -> ``module:function``, imported when first used."""
