"""The Hugging Face Hub's own client, which is imported only when a name such as `hf:owner/name` is used.

Its cache, its token and its environment variables are those that its users know.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from zoo.errors import DataError, ZooError, printable, shortened
from zoo.registry.extras import needing_extra

# Seconds to wait for a server to go on
_SECONDS = 60.0
# What to do, by the status that a server answered with
_BY_STATUS = {
    401: ("does not accept the token", "`hf auth login` stores a token"),
    403: (
        "does not allow that with this token",
        "use a token with write access; `hf auth whoami` shows whose",
    ),
    412: ("has a newer commit: somebody else pushed at the same moment", "push again"),
    429: ("received too many requests", "wait a few minutes, then try again"),
}


@contextmanager
def hub_client(name: str) -> Generator[None]:
    """Let the `with` block import and call huggingface_hub, without its logs and progress bars.

    Args:
        name: what is used, such as `hf:owner/name`, for messages.

    Raises SpecError if the package is missing, and DataError with one sentence for any other error of it.
    """
    with needing_extra("hub", name):
        from huggingface_hub import utils
    log = logging.getLogger("huggingface_hub")
    level, shown = log.level, not utils.are_progress_bars_disabled()
    hooks = utils.get_session().event_hooks["request"]
    log.setLevel(logging.CRITICAL)
    utils.disable_progress_bars()
    hooks.append(_limit_time)
    try:
        yield
    except ZooError:
        raise
    except Exception as error:  # of the network, the server, the disk, or a library in C
        reason, hint = _explained(name, error)
        raise DataError(f"{name}: {reason}", hint=hint) from error
    finally:
        hooks.remove(_limit_time)
        log.setLevel(level)
        if shown:
            utils.enable_progress_bars()


def _limit_time(request: Any) -> None:
    """Limit the time of a request for which the client waits without end, such as a commit."""
    given = request.extensions["timeout"]
    request.extensions["timeout"] = {
        key: _SECONDS if value is None else value for key, value in given.items()
    }


def _explained(name: str, error: Exception) -> tuple[str, str | None]:
    """Return what went wrong, and what to do."""
    from huggingface_hub import constants, errors, get_token
    from huggingface_hub.utils import httpx

    host = constants.ENDPOINT.partition("://")[2]
    vague = isinstance(error, errors.LocalEntryNotFoundError | RuntimeError)  # of the cache, and of an upload
    if vague and isinstance(error.__cause__, Exception):
        return _explained(name, error.__cause__)
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        hint = f"unset HF_HUB_OFFLINE and ZOO_OFFLINE; the cache is {constants.HF_HUB_CACHE}"
        return "the network is disabled, and the cache does not contain it", hint
    if isinstance(error, errors.GatedRepoError):
        page = f"{constants.ENDPOINT}/{re.split('[:@]', name)[1]}"
        return f"its owner must give you access on {host}", f"ask for access at {page}, then `hf auth login`"
    if isinstance(error, errors.RepositoryNotFoundError):
        hint = "check the name; a private model needs a token, which `hf auth login` stores"
        return f"there is no such model on {host}, or it is private", hint
    if isinstance(error, errors.RevisionNotFoundError):
        return "the model has no such revision", "after @, write a branch, a tag or a commit of the model"
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        if status >= 500:
            return f"{host} is not available (status {status})", "try again later"
        said = (error.server_message or f"status {status}").replace(get_token() or "\0", "***")
        what, hint = _BY_STATUS.get(status, (f"refused the request: {printable(said)}", None))
        return f"{host} {what}", hint
    if isinstance(error, httpx.TimeoutException):
        return f"{host} did not respond in time", "try again; HF_HUB_DOWNLOAD_TIMEOUT=60 waits longer"
    if isinstance(error, httpx.HTTPError):
        return f"{host} cannot be reached, or the connection was lost", "check the network, then try again"
    hint = None if isinstance(error, ValueError) else "try again"  # of a name, or of metadata
    return shortened(" ".join(str(error).split())) or type(error).__name__, hint
