"""One thread's connection to the server, without what `requests` does for each request.

`requests` prepares a request anew each time, although all of ours go to one server with
the same settings; that costs more than sending it. It still decides, once, about
proxies, certificates and the headers every request has.
"""

import json
from typing import Any, cast

import requests
import urllib3
from requests import cookies

from common.json_value import Json
from migration.server.http.deadline import PunctualAdapter

#: A request is never repeated here: the caller knows whether it may be.
_NO_RETRIES = urllib3.Retry(0, read=False)


#: Without types of their own.
_extract, _header = (
    cast(Any, cookies.extract_cookies_to_jar),
    cast(Any, cookies.get_cookie_header),
)


class Connection:
    """Sends requests below one base URL, for one thread."""

    def __init__(
        self, base_url: str, proxies: dict[str, str], verify: str | bool
    ) -> None:
        """`verify` is a file of certificates to trust, or True for the usual ones.

        Raises requests.RequestException for a URL or a proxy that cannot be used.
        """
        self._base_url = base_url
        self._adapter = cast(Any, PunctualAdapter())
        with requests.Session() as session:
            # The environment's proxies were looked up by the caller.
            session.trust_env = False
            first = session.prepare_request(requests.Request("GET", f"{base_url}/"))
        self._pool = self._adapter.get_connection_with_tls_context(
            first, verify, proxies, None
        )
        self._adapter.cert_verify(self._pool, first.url, verify, None)
        self._prefix = self._adapter.request_url(first, proxies).removesuffix("/")
        self._headers = dict(first.headers)
        # A name and a password in the URL come before any other authorization.
        self._always = {
            name: value
            for name, value in self._headers.items()
            if name == "Authorization"
        }
        self._cookies = cookies.RequestsCookieJar()

    def send(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: Json,
        data: Any,
        timeout: tuple[float, float],
    ) -> urllib3.BaseHTTPResponse:
        """Sends a request; returns the response, of which only the head was read.

        `data` is a body of bytes, or a stream with its length in `len`; without it
        `body` is sent as JSON, if there is one. `timeout` is seconds to connect and to
        answer. The caller closes the response. Raises urllib3.exceptions.HTTPError,
        OSError or requests.RequestException.
        """
        sent = {**self._headers, **headers, **self._always}
        if data is not None:
            sent["Content-Length"] = str(
                len(data) if isinstance(data, bytes) else data.len
            )
        elif body is not None:
            data = json.dumps(body, allow_nan=False).encode("ascii")
            sent["Content-Type"] = "application/json"
        if self._cookies:
            cookie = _header(self._cookies, self._request(method, path))
            sent |= {"Cookie": cookie} if cookie else {}
        response: urllib3.BaseHTTPResponse = self._pool.urlopen(
            method,
            self._prefix + path,
            body=data,
            headers=sent,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
            retries=_NO_RETRIES,
            timeout=urllib3.Timeout(connect=timeout[0], read=timeout[1]),
        )
        if "Set-Cookie" in response.headers:
            # As of a load balancer that sends each client to the same server.
            request = self._request(method, path)
            _extract(self._cookies, request, response)
        return response

    def close(self) -> None:
        """Closes the connection."""
        self._adapter.close()

    def _request(self, method: str, path: str) -> requests.PreparedRequest:
        return requests.Request(method, self._base_url + path).prepare()
