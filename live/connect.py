"""Transports to real servers: the Kubernetes API as the official client reaches it, and Prometheus."""

import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
from pydantic_core import from_json

from live.config import Cluster, Prometheus
from live.repeated import Repeated
from live.transport import Answer, LostError

USER_AGENT = "poolwright"


@dataclass(frozen=True, slots=True)
class KubeTransport:
    """Auth, TLS and addresses are the official client's; requests go past its layer that sends some of them again."""

    client: Any
    """`kubernetes.client.ApiClient`."""

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        timeout_s: float = 10.0,
    ) -> Answer:
        return _send(self._pool, method, self._url(path, query), self._headers(), body, content_type, timeout_s)

    def stream(self, path: str, query: Mapping[str, str] | None = None, timeout_s: float = 60.0) -> Iterator[Any]:
        return _stream(self._pool, self._url(path, query), self._headers(), timeout_s)

    @property
    def _pool(self) -> urllib3.PoolManager:
        pool: urllib3.PoolManager = self.client.rest_client.pool_manager
        return pool

    def _url(self, path: str, query: Mapping[str, str] | None) -> str:
        return _url(self.client.configuration.host, path, query)

    def _headers(self) -> dict[str, str]:
        # Asked for each time: the client reads a token again when it is about to end.
        auth = self.client.configuration.auth_settings().values()
        return {"User-Agent": USER_AGENT} | {a["key"]: a["value"] for a in auth if a["in"] == "header" and a["value"]}


@dataclass(frozen=True, slots=True)
class HttpTransport:
    """A plain HTTP server, such as Prometheus; a path in its address is kept."""

    address: str
    headers: Mapping[str, str] = field(default_factory=dict)
    bearer_token_file: Path | None = None
    pool: urllib3.PoolManager = field(default_factory=urllib3.PoolManager)
    read: Callable[[str, bytes], Any] | None = None
    """Makes a body of what came from an address; where there is none, it is parsed as it comes."""

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        timeout_s: float = 10.0,
    ) -> Answer:
        url = _url(self.address, path, query)
        return _send(self.pool, method, url, self._headers(), body, content_type, timeout_s, self.read)

    def stream(self, path: str, query: Mapping[str, str] | None = None, timeout_s: float = 60.0) -> Iterator[Any]:
        return _stream(self.pool, _url(self.address, path, query), self._headers(), timeout_s)

    def _headers(self) -> dict[str, str]:
        headers = {"User-Agent": USER_AGENT, **self.headers}
        if self.bearer_token_file is not None:
            try:
                headers["Authorization"] = f"Bearer {self.bearer_token_file.read_text().strip()}"
            except OSError as error:
                raise LostError(f"{self.bearer_token_file}: {error.strerror}") from error
        return headers


def to_kubernetes(cluster: Cluster) -> KubeTransport:
    """By a kubeconfig where one is named, else as a pod of the cluster, else by the user's own kubeconfig.

    Raises `ValueError` where none of them works.
    """
    from kubernetes import client, config

    configuration = client.Configuration()
    try:
        if cluster.kubeconfig is None and cluster.context is None:
            try:
                config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
                return KubeTransport(client.ApiClient(configuration))
            except config.ConfigException:
                pass  # Not in a pod: the user's own.
        config.load_kube_config(  # type: ignore[no-untyped-call]
            cluster.kubeconfig, cluster.context, configuration, persist_config=False
        )
    except (config.ConfigException, OSError) as error:
        raise ValueError(f"no access to a cluster: {error}".lower()) from error
    return KubeTransport(client.ApiClient(configuration))


def to_prometheus(prometheus: Prometheus) -> HttpTransport:
    """Raises `ValueError` where the CA's file cannot be read."""
    return HttpTransport(
        prometheus.url,
        prometheus.headers,
        None if prometheus.bearer_token_file is None else Path(prometheus.bearer_token_file),
        urllib3.PoolManager(ssl_context=_tls(prometheus)),
        Repeated(_parsed),
    )


def _tls(prometheus: Prometheus) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=prometheus.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"prometheus.ca_file {prometheus.ca_file}: {error}") from error
    if prometheus.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _url(address: str, path: str, query: Mapping[str, str] | None) -> str:
    return f"{address.rstrip('/')}{path}" + (f"?{urlencode(query)}" if query else "")


def _send(
    pool: urllib3.PoolManager,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: Any,
    content_type: str,
    timeout_s: float,
    read: Callable[[str, bytes], Any] | None = None,
) -> Answer:
    sent = dict(headers)
    if body is not None:
        sent["Content-Type"] = content_type
    try:
        response = pool.request(
            method,
            url,
            body=None if body is None else json.dumps(body).encode(),
            headers=sent,
            retries=False,
            redirect=False,
            timeout=urllib3.Timeout(timeout_s),
        )
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise LostError(f"{method} {_told(url)}: {_words(error)}") from error
    found = _parsed(response.data) if read is None else read(url, response.data)
    return Answer(response.status, found, {k.lower(): v for k, v in response.headers.items()})


def _told(url: str) -> str:
    """Without what is asked there, which whoever asks says in clearer words."""
    return url.partition("?")[0]


def _words(error: Exception) -> str:
    """Without the address, which is told before."""
    words = str(error)
    return words.partition("): ")[2] or words if words.startswith("HTTP") else words


def _parsed(data: bytes) -> Any:
    if not data:
        return None
    try:
        return from_json(data)  # Twice as fast as the standard library: an answer may have megabytes.
    except ValueError:
        return data.decode("utf-8", "replace")


def _stream(pool: urllib3.PoolManager, url: str, headers: Mapping[str, str], timeout_s: float) -> Iterator[Any]:
    try:
        response = pool.request(
            "GET",
            url,
            headers=dict(headers),
            retries=False,
            redirect=False,
            timeout=urllib3.Timeout(connect=min(timeout_s, 10.0), read=timeout_s),
            preload_content=False,
        )
        try:
            yield from _lines(response)
        finally:
            # A watch that is left early has more to come: its connection cannot be used again.
            response.close()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise LostError(f"GET {_told(url)}: {_words(error)}") from error


def _lines(response: Any) -> Iterator[Any]:
    """Raises `LostError` for a line that was cut short."""
    if response.status != 200:
        yield {"type": "ERROR", "object": _refused(response)}
        return
    rest = b""
    # Only chunks come one by one; a plain body is read as far as it has come.
    parts = response.stream(2**16) if response.chunked else iter(lambda: response.read1(2**16), b"")
    for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        yield from (_line(line) for line in lines if line.strip())
    if rest.strip():
        raise LostError(f"a watch was cut short after {len(rest)} bytes of a line")


def _line(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise LostError(f"not a line of a watch: {line[:80]!r}") from error


def _refused(response: Any) -> Any:
    body = _parsed(response.read())
    if isinstance(body, dict):
        return body
    return {"kind": "Status", "code": response.status, "message": str(body)[:400]}
