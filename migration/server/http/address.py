"""What is wrong with an address where the server has never answered.

A mistyped scheme, port or path, and another program in the server's place, all look like
a server that is away. Whoever waits for it is told what they are.
"""

import re
import socket
import ssl
from collections.abc import Callable
from urllib.parse import urlsplit

#: Seconds for the question whether a port speaks https.
PROBE_SECONDS = 3.0

#: What another program answers: a page, a refusal of the route, another 404.
_ANOTHER = re.compile(r"answered with (?:HTTP (?:4\d\d|501)|text/)")
#: Of those, what a gateway says while the server behind it is away.
_FOR_A_TIME = re.compile(r"answered with HTTP 4(?:08|25|29)")
_CUT_OFF = ("connection reset", "closed without an answer", "BadStatusLine", "HTTP 400")
_NO_TLS = ("WRONG_VERSION_NUMBER", "wrong version number", "record layer failure")


def explained(said: str, url: str, speaks_tls: Callable[[str, int], bool]) -> str:
    """Returns what an error of the first request tells about the URL, or "".

    `speaks_tls` is asked about host and port where that decides.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (80 if parts.scheme == "http" else 443)
    place = f"[{host}]" if ":" in host else host
    if scheme := _other_scheme(said, parts.scheme, lambda: speaks_tls(host, port)):
        better = f"{scheme}://{place}:{port}{parts.path}"
        return f"port {port} speaks {scheme}, not {parts.scheme}: {better}"
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return (
            "the certificate is not one that this machine trusts for this name; a file "
            "with yours is named by SSL_CERT_FILE"
        )
    if "connection refused" in said:
        return f"nothing listens on port {port} of {place}"
    if "host name not found" in said:
        return f"no machine is known here by the name {place}"
    if _ANOTHER.search(said) and not _FOR_A_TIME.search(said):
        path = f"; or leave out {parts.path}" if parts.path else ""
        return f"what answers there is not MyBookshelf2{path}"
    return ""


def _other_scheme(said: str, scheme: str, speaks_tls: Callable[[], bool]) -> str:
    """Returns the scheme that the port speaks instead; "" when it is not the scheme."""
    if any(sign in said for sign in _NO_TLS):
        return "http"
    cut_off = scheme == "http" and any(sign in said for sign in _CUT_OFF)
    return "https" if cut_off and speaks_tls() else ""


def speaks_tls(host: str, port: int) -> bool:
    """Whether a TLS handshake is answered there, with whatever certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), PROBE_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return True
    except (OSError, ValueError):
        return False
