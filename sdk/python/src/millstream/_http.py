"""One kept-alive connection to ingest, with a deadline for the whole exchange."""

from __future__ import annotations

import base64
import gzip
import http.client
import io
import ipaddress
import select
import socket
import ssl
import time
import urllib.request
from typing import Any, Dict, Optional, Tuple, Union
from urllib.parse import unquote, urlsplit

from ._answer import Answer
from ._options import Options
from ._version import __version__

_GZIP_FROM = 1024
_BODY_MAX = 4 * 1024 * 1024  # of an answer; a thousand rejections are a tenth of it
_Address = Tuple[str, int]


class _Wire:
    """What http.client needs of a socket. Each wait lasts until the deadline at most, so that a server which sends a
    byte now and then holds nobody up; `cut` ends a wait from another thread."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.deadline = 0.0
        self.ended = False  # by the other side

    def sendall(self, data: Any) -> None:
        self.sock.settimeout(self._left())
        self.sock.sendall(data)

    def recv_into(self, buffer: Any) -> int:
        self.sock.settimeout(self._left())
        count = self.sock.recv_into(buffer)
        self.ended = count == 0
        return count

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self))

    def close(self) -> None:
        """http.client closes before it has read an answer that ends with the connection; Transport closes for good."""

    def _left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        return left


class _Reader(io.RawIOBase):
    def __init__(self, wire: _Wire) -> None:
        super().__init__()
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._wire.recv_into(buffer)


class Transport:
    """Sends batches, one at a time. `abort` and `forget` may come from other threads; the rest belongs to one."""

    def __init__(self, options: Options) -> None:
        self._options = options
        url = urlsplit(options.endpoint)
        self._secure = url.scheme == "https"
        self._host = url.hostname or ""
        self._port = url.port or (443 if self._secure else 80)
        self._path = url.path.rstrip("/") + "/v1/batch"
        self._headers = _headers(options)
        self._proxy: Optional[_Proxy] = None
        self._ready = False  # whether the proxy was looked for
        self._tls: Optional[ssl.SSLContext] = None
        self._wire: Optional[_Wire] = None
        self._connection: Optional[http.client.HTTPConnection] = None
        self._dialling: Optional[socket.socket] = None
        self._aborted = False

    def post(self, body: bytes, retries: int, timeout: float) -> Answer:
        """Makes one attempt within timeout seconds. Every failure is an Answer."""
        headers = dict(self._headers)
        if retries:
            headers["X-Retry-Count"] = str(retries)
        if self._options.gzip and len(body) >= _GZIP_FROM:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, 1, mtime=0)
        try:
            return self._exchange(body, headers, time.monotonic() + timeout)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            return Answer(0, error=f"{type(error).__name__}: {error}"[:300])

    def _exchange(self, body: bytes, headers: Dict[str, str], deadline: float) -> Answer:
        connection, wire = self._connected(deadline)
        wire.deadline = deadline
        target = self._path
        if self._proxy and not self._secure:
            target = f"http://{_authority(self._host, self._port, 80)}{self._path}"
            headers.update(self._proxy.headers)
        connection.request("POST", target, body, headers)
        response = connection.getresponse()
        if wire.ended:
            raise ConnectionResetError("the answer ended within its headers")  # http.client takes that for their end
        data = _read(response)
        if data is None or response.will_close:
            self.close()
        return Answer(response.status, data or b"", response.headers.get("Retry-After"))

    def _connected(self, deadline: float) -> Tuple[http.client.HTTPConnection, _Wire]:
        if self._connection and self._wire and not _readable(self._wire.sock):
            return self._connection, self._wire
        self.close()
        if not self._ready:
            self._proxy = _find_proxy(self._options.proxy, self._options.endpoint, self._host)
            self._ready = True
        sock = self._dial(self._proxy.address if self._proxy else (self._host, self._port), deadline)
        wire = _Wire(sock)
        wire.deadline = deadline
        try:
            if self._secure:
                self._encrypt(wire)
        except BaseException:
            wire.sock.close()
            raise
        connection = http.client.HTTPConnection(_authority(self._host, self._port, 443 if self._secure else 80))
        connection.sock = wire
        self._connection, self._wire, self._dialling = connection, wire, None
        if self._aborted:
            raise ConnectionAbortedError("the client was closed")
        return connection, wire

    def _dial(self, address: _Address, deadline: float) -> socket.socket:
        failure: Optional[OSError] = None
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
        for untried, (family, kind, protocol, _, target) in zip(range(len(found), 0, -1), found):
            if self._aborted:
                raise ConnectionAbortedError("the client was closed")
            sock = socket.socket(family, kind, protocol)
            self._dialling = sock
            try:
                sock.settimeout(max((deadline - time.monotonic()) / untried, 0.001))  # one silent address leaves time
                sock.connect(target)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return sock
            except OSError as error:
                failure = error
                sock.close()
        try:
            raise failure or OSError(f"{address[0]}: no address")
        finally:
            failure = None  # else it would hold its own frames, and with them the body, until the next collection

    def _encrypt(self, wire: _Wire) -> None:
        if self._proxy:
            self._tunnel(wire, self._proxy)
        if self._tls is None:
            self._tls = self._options.ssl_context or ssl.create_default_context()
        wire.sock = self._tls.wrap_socket(wire.sock, server_hostname=self._host, do_handshake_on_connect=False)
        self._dialling = wire.sock
        wire.sock.settimeout(max(wire.deadline - time.monotonic(), 0.001))
        wire.sock.do_handshake()

    def _tunnel(self, wire: _Wire, proxy: _Proxy) -> None:
        authority = _authority(self._host, self._port, None)
        lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
        lines += [f"{name}: {value}" for name, value in proxy.headers.items()]
        wire.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
        response = http.client.HTTPResponse(wire, method="CONNECT")  # type: ignore[arg-type]
        response.begin()
        if response.status != 200:
            raise OSError(f"proxy: answered CONNECT with {response.status}")

    def abort(self) -> None:
        """Ends the exchange that another thread waits for, and refuses all later ones."""
        self._aborted = True
        wire = self._wire
        for sock in (self._dialling, wire.sock if wire else None):
            try:
                if sock:
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)  # a TLS socket's own would take its state away
            except OSError:
                pass  # not connected, or closed meanwhile

    def close(self) -> None:
        """Closes the connection; the next post opens another."""
        wire, self._wire, self._connection, self._dialling = self._wire, None, None, None
        if wire:
            try:
                wire.sock.close()
            except OSError:
                pass  # it is gone all the same

    @property
    def connected(self) -> bool:
        """Whether a connection is kept."""
        return self._wire is not None


class _Proxy:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url if "://" in url else "http://" + url)
        self.address: _Address = (parts.hostname or "", parts.port or 80)
        self.headers: Dict[str, str] = {}
        if parts.username is not None:
            credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self.headers["Proxy-Authorization"] = _basic(credentials)


def _read(response: http.client.HTTPResponse) -> Optional[bytes]:
    """The whole body, or None if it is larger than an answer of ingest can be."""
    if response.length is not None:
        return response.read() if response.length <= _BODY_MAX else None
    data = b""
    while len(data) <= _BODY_MAX:
        part = response.read(65536)
        if not part:
            return data
        data += part
    return None


def _find_proxy(option: Optional[str], endpoint: str, host: str) -> Optional[_Proxy]:
    """The option, else what the environment says (HTTPS_PROXY, HTTP_PROXY, NO_PROXY); this machine needs none."""
    if option is not None:
        return _Proxy(option) if option else None
    if _is_local(host) or urllib.request.proxy_bypass(host):
        return None
    scheme = urlsplit(endpoint).scheme
    url = urllib.request.getproxies().get(scheme)
    return _Proxy(url) if url else None


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _headers(options: Options) -> Dict[str, str]:
    return {
        "Authorization": _basic(options.write_key + ":"),
        "Content-Type": "application/json",
        "User-Agent": f"millstream-python/{__version__}",
    }


def _basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode("utf-8")).decode("ascii")


def _authority(host: str, port: int, usual: Optional[int]) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port == usual else f"{name}:{port}"


def _readable(sock: Union[socket.socket, ssl.SSLSocket]) -> bool:
    """An idle connection that has something to read has ended, or is out of step."""
    try:
        if hasattr(select, "poll"):
            poll = select.poll()
            poll.register(sock, select.POLLIN)
            return bool(poll.poll(0))
        return bool(select.select([sock], [], [], 0)[0])
    except (OSError, ValueError):
        return True


