"""Signed requests to an S3 server (AWS Signature Version 4), as much as the kit and tests need."""

import base64
import hashlib
import hmac
import http.client
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Key:
    """An S3 user's access key."""

    id: str
    secret: str


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes


class Client:
    """Given an endpoint, its CA and a user's key, the server as that user sees it.

    Only that CA is trusted; no proxy is used.
    """

    def __init__(self, endpoint: str, ca: Path, region: str, key: Key) -> None:
        self._host = urlsplit(endpoint).netloc
        self._trust = ssl.create_default_context(cafile=str(ca))
        self._region = region
        self._key = key

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Given a request, return the answer, whatever its status is.

        `headers` are x-amz-* in lower case. Raise OSError if it cannot be reached or trusted.
        """
        target, parameters = quote(path), urlencode(sorted((query or {}).items()), quote_via=quote)
        digest = hashlib.sha256(body)
        amz = {
            **(headers or {}),
            "host": self._host,
            "x-amz-content-sha256": digest.hexdigest(),
            "x-amz-date": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
        }
        if body:
            # Asked for where objects are locked, and by the requests that configure a bucket.
            amz["x-amz-checksum-sha256"] = base64.b64encode(digest.digest()).decode()
        signature = self._signature(method, target, parameters, amz)
        connection = http.client.HTTPSConnection(self._host, timeout=30, context=self._trust)
        try:
            url = f"{target}?{parameters}" if parameters else target
            connection.request(method, url, body, {**amz, "authorization": signature})
            response = connection.getresponse()
            return Answer(response.status, response.read())
        finally:
            connection.close()

    def _signature(self, method: str, path: str, query: str, headers: Mapping[str, str]) -> str:
        names = sorted(headers)
        lines = [f"{name}:{headers[name]}" for name in names]
        signed = ";".join(names)
        canonical = "\n".join(
            [method, path, query, *lines, "", signed, headers["x-amz-content-sha256"]]
        )
        moment = headers["x-amz-date"]
        scope = f"{moment[:8]}/{self._region}/s3/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        key = f"AWS4{self._key.secret}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        proof = hmac.digest(key, f"{_ALGORITHM}\n{moment}\n{scope}\n{digest}".encode(), "sha256")
        credential = f"Credential={self._key.id}/{scope}"
        return f"{_ALGORITHM} {credential}, SignedHeaders={signed}, Signature={proof.hex()}"
