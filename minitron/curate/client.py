"""Asks an OpenAI-compatible endpoint a question, and asks again where the network or the server fails.

    client = Client("http://127.0.0.1:8080/v1", key="", timeout_s=60, tries=6, pause_s=1)
    reply = client.ask(model, system=rubric, user=text)      # Reply(text, tokens_in, tokens_out)

Standard library only; safe to call from several threads. Knows nothing about what is asked.
"""

import http.client
import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from email.message import Message as Headers
from typing import Any, NamedTuple

from minitron.core.errors import MinitronError

LONGEST_PAUSE_S = 60.0
MOST_BYTES = 1 << 24  # of a reply
AGAIN = {408, 409, 425, 429}  # HTTP statuses after which it asks again; every 5xx is another
OF_QUESTION = {400, 413, 422}  # statuses that may be about one question alone
GOES_ON = "the same command goes on from here"


class Reply(NamedTuple):
    """An answer's text, and how many tokens the server says that it took (0: it does not say)."""

    text: str
    tokens_in: int
    tokens_out: int


class Unusable(Exception):
    """A reply that cannot be used: it was cut off, is not JSON, or holds no answer."""


class Refused(MinitronError):
    """The endpoint does not take this question: it may be too long, or against the provider's rules."""


class Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: the key is for this endpoint alone."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Client:
    """An endpoint. `url` is its address up to, but without, /chat/completions. A question is asked up to `tries` times; the first pause
    between tries is `pause_s` seconds, and each later one is twice as long, up to LONGEST_PAUSE_S."""

    def __init__(self, url: str, *, key: str, timeout_s: float, tries: int, pause_s: float):
        self.url, self.key, self.timeout_s, self.tries, self.pause_s = url.rstrip("/"), key, timeout_s, tries, pause_s
        near = urllib.parse.urlsplit(self.url).hostname in ("127.0.0.1", "localhost", "::1")
        self._opener = urllib.request.build_opener(Stay, *([urllib.request.ProxyHandler({})] if near else []))
        self.stopped = threading.Event()  # a caller that no longer wants answers sets it: pauses end at once

    def ask(self, model: str, *, system: str, user: str) -> Reply:
        """The endpoint's reply. Raises MinitronError at once for what asking again does not mend (a wrong key, no such model) and after
        the last try if the server fails or does not answer; Unusable if the last try got no usable reply or `stopped` was set."""
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        body = json.dumps({"model": model, "messages": messages, "temperature": 0}).encode()
        for number in range(1, self.tries + 1):
            pause = min(LONGEST_PAUSE_S, self.pause_s * 2 ** (number - 1))
            try:
                return reply_of(self._post(body))
            except urllib.error.HTTPError as error:
                reason = _reason_of(error)
                if error.code not in AGAIN and error.code < 500:
                    raise self._refusal(error.code, reason, model) from error
                if number == self.tries:
                    message = f"{self.url} answers {error.code} again and again: {reason}"
                    raise MinitronError(message, hint=f"lower judge.concurrency, or wait; {GOES_ON}") from error
                pause = max(pause, _retry_after(error.headers))
            except Unusable:
                if number == self.tries:
                    raise
            except (OSError, http.client.HTTPException, ValueError) as error:
                if isinstance(error, ValueError) and not isinstance(error, UnicodeError):
                    raise MinitronError(
                        f"judge.url = '{self.url}' is no address", hint="such as http://127.0.0.1:8080/v1", code=2
                    ) from error
                if number == self.tries:
                    reason = getattr(error, "reason", None) or str(error) or type(error).__name__
                    raise MinitronError(
                        f"{self.url} does not answer: {reason}", hint=f"check judge.url; {GOES_ON}"
                    ) from error
            if self.stopped.wait(pause):
                break
        raise Unusable("stopped")

    def _post(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        request = urllib.request.Request(f"{self.url}/chat/completions", body, headers)
        if request.type not in ("http", "https"):
            raise ValueError(request.type)
        with self._opener.open(request, timeout=self.timeout_s) as response:
            data = response.read(MOST_BYTES)
            # `read` with a size does not raise if fewer bytes came than were announced
            if response.length:
                raise http.client.IncompleteRead(data, response.length)
            return data

    def _refusal(self, code: int, reason: str, model: str) -> MinitronError:
        if code in (401, 403):
            return MinitronError(
                f"{self.url} does not accept the key: {reason}",
                hint="set the variable that judge.key_env names",
                code=2,
            )
        if code == 404:
            return MinitronError(
                f"{self.url} has no model '{model}': {reason}",
                hint="check judge.model, and that judge.url ends in /v1",
                code=2,
            )
        kind = Refused if code in OF_QUESTION else MinitronError
        return kind(
            f"{self.url} refuses to judge ({code}): {reason}", hint="check judge.model and judge.rubric", code=2
        )


def reply_of(data: bytes) -> Reply:
    """The reply in a response's body. Raises Unusable where there is none."""
    try:
        found = json.loads(data)
        text = found["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise Unusable(f"no chat completion: {data[:80]!r}") from error
    if not isinstance(text, str):
        raise Unusable("an answer without text")
    usage = found.get("usage") if isinstance(found.get("usage"), dict) else {}
    return Reply(text, _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")))


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _reason_of(error: urllib.error.HTTPError) -> str:
    """The reason that the server gives, in one line."""
    try:
        data = error.read(2000)
    except (OSError, http.client.HTTPException):
        data = b""
    try:
        found = json.loads(data)
        told = found["error"]["message"] if isinstance(found["error"], dict) else found["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        told = data.decode(errors="replace")
    lines = str(told).strip().splitlines()
    return (lines[0] if lines else error.reason or str(error.code))[:200]


def _retry_after(headers: Headers | None) -> float:
    """How many seconds the server asks to wait, at most LONGEST_PAUSE_S; 0 if it does not say."""
    try:
        return min(LONGEST_PAUSE_S, max(0.0, float((headers or {}).get("Retry-After", 0))))
    except (TypeError, ValueError):  # it may be a date
        return 0.0
