"""Does the server answer? Asked before workers that hang are blamed for it."""

import requests


def server_answers(url: str, seconds: float) -> bool:
    """Any answer that is not a failure of the server itself counts, also a refusal to let us in."""
    try:
        with requests.get(url, timeout=(seconds, seconds), allow_redirects=False, stream=True) as answer:
            return answer.status_code < 500
    except requests.RequestException:
        return False
