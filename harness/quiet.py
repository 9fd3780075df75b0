"""Keep other libraries' bars and notices out of the harness's own output."""

from __future__ import annotations


def quiet_libraries() -> None:
    """Silence transformers' loading bars and bitsandbytes' notice about an optional kernel."""
    import logging

    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
