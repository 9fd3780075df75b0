"""Failures of the servers that lm-eval's models ask, told from those of a method or a request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.errors import CapabilityError, HarnessError, UnansweredError, describe_error
from harness.llm.server.failures import PASSING

if TYPE_CHECKING:
    from harness.llm.model_config import ModelConfig
    from harness.llm.secret import Secret

# The libraries by which lm-eval's models reach a server.
_CLIENTS = frozenset({"aiohttp", "anthropic", "httpx", "openai", "requests", "urllib3"})


@contextmanager
def explained(config: ModelConfig, kind: str, secret: Secret) -> Iterator[None]:
    """Turn what a model cannot do, a server's failure and words with a key into errors of ours."""
    try:
        yield
    except NotImplementedError as error:
        raise CapabilityError(f"lm-eval model '{config.path}' has no {kind}") from error
    except Exception as error:
        words = describe_error(error)
        if of_server(error):
            # Without its cause: that one's request may hold the key.
            raise UnansweredError(
                f"model '{config.name}': its server failed ({type(error).__name__}), after what "
                "retries lm-eval makes; check the server and run again"
            ) from None
        if (shown := secret.out_of(words)) != words:
            raise HarnessError(f"model '{config.name}': request refused ({shown})") from None
        raise


def of_server(error: BaseException) -> bool:
    """Whether a server failed: it was not reached, answered late or in pieces, or was too busy.

    A request that it refuses (another 4xx) is not a failure of the server.
    """
    if type(error).__module__.partition(".")[0] not in _CLIENTS:
        return False
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None) or getattr(error, "status", None)
    return status is None or not 400 <= status < 500 or status in PASSING
