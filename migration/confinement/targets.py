"""Where a worker connects to; pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from migration.server.session import task_urls


@dataclass(frozen=True, slots=True)
class Target:
    """A host and port the worker may connect to."""

    host: str
    port: int


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
    return Target(parts.hostname, port) if parts.hostname else None
