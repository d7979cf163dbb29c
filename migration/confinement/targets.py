"""Where a worker connects to; pure."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

import idna

from migration.server.session import task_urls


@dataclass(frozen=True, slots=True)
class Target:
    """A host and port the worker may connect to. Made by `target`."""

    host: str
    port: int


def target(host: str, port: int) -> Target:
    """Returns a place by the one name it is known by, however it is written.

    A name with other than ASCII letters comes from requests in its encoded form, and
    from the task engine's library as it is written.
    """
    if not host.isascii():
        # A name that cannot be encoded is no host: nothing resolves it.
        with contextlib.suppress(idna.IDNAError):
            host = idna.encode(host, uts46=True).decode()
    return Target(host.lower(), port)


def targets(server: str, ws_url: str, proxies: Iterable[str]) -> tuple[Target, ...]:
    """Returns where a worker connects to: the server, its task engine, a proxy."""
    found = (_target(url) for url in (server, *task_urls(server, ws_url), *proxies))
    return tuple(dict.fromkeys(one for one in found if one is not None))


def _target(url: str) -> Target | None:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port or (443 if parts.scheme in ("https", "wss") else 80)
    except ValueError:
        return None
    return target(parts.hostname, port) if parts.hostname else None
