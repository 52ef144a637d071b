"""Connections: kept, renewed, cut, slow, through proxies."""

import gc
import os
import socket
import ssl
import sys
import threading
import time
import unittest
from unittest import mock

from millstream._http import Transport, _readable
from millstream._options import Options
from support import AWAY, CUT, Server, client, descriptors, eventually


def transport(url, **options):
    return Transport(Options(write_key="k", endpoint=url, **options))


class Listener:
    """A raw socket server: each connection is handled by a function in a thread."""

    def __init__(self, handle):
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.sock.getsockname()[1]}"
        self.handle = handle
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while True:
            try:
                connection, _ = self.sock.accept()
            except OSError:
                return
            with connection:
                try:
                    self.handle(connection)
                except OSError:
                    pass  # the client has left

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self.thread.join()


def read_request(connection):
    """A whole request: an unread rest would reset the connection."""
    data = b""
    while b"\r\n\r\n" not in data or (data.startswith(b"POST") and not data.endswith(b"\r\n\r\n{}")):
        part = connection.recv(65536)
        if not part:
            return data
        data += part
    return data


class Connections(unittest.TestCase):
    def test_a_connection_is_kept(self):
        with Server() as server, client(server.url) as c:
            for _ in range(5):
                c.track("u1", "A")
                c.flush()
            self.assertEqual((len(server.requests), server.connections), (5, 1))

    def test_a_connection_that_the_server_ended_is_replaced_before_use(self):
        ended = threading.Event()

        def answer_once(connection):
            read_request(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            connection.close()
            ended.set()

        with Listener(answer_once) as server:
            t = transport(server.url)
            for _ in range(3):
                self.assertEqual(t.post(b"{}", 0, 5).status, 200)
                self.assertTrue(ended.wait(5))
                ended.clear()
                eventually(lambda: _readable(t._wire.sock))
            t.close()

    def test_connection_close_and_http_1_0_are_honoured(self):
        for head in (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"):
            def handle(connection):
                read_request(connection)
                connection.sendall(head + b'{"rejected":[]}')

            with self.subTest(head=head), Listener(handle) as server:
                t = transport(server.url)
                answer = t.post(b"{}", 0, 5)
                self.assertEqual((answer.status, answer.body), (200, b'{"rejected":[]}'))
                self.assertFalse(t.connected)

    def test_chunked_answers_are_read_and_the_connection_kept(self):
        def handle(connection):
            while read_request(connection):
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")

        with Listener(handle) as server:
            t = transport(server.url)
            for _ in range(2):
                self.assertEqual(t.post(b"{}", 0, 5).body, b"hello")
                self.assertTrue(t.connected)
            t.close()

    def test_a_cut_answer_is_a_network_error(self):
        for text in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", b"nonsense\r\n\r\n",
                     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"):
            def handle(connection):
                read_request(connection)
                connection.sendall(text)

            with self.subTest(text=text), Listener(handle) as server:
                t = transport(server.url)
                self.assertEqual(t.post(b"{}", 0, 5).status, 0)
                self.assertFalse(t.connected)

    def test_an_answer_larger_than_ingests_is_not_read(self):
        def handle(connection):
            read_request(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n{")
            connection.recv(1)

        with Listener(handle) as server:
            t = transport(server.url)
            answer = t.post(b"{}", 0, 5)
            self.assertEqual((answer.status, answer.body), (200, b""))
            self.assertFalse(t.connected)

    def test_a_server_that_drips_is_left_at_the_deadline(self):
        def handle(connection):
            read_request(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                connection.sendall(b"X: y\r\n")
                time.sleep(0.05)

        with Listener(handle) as server:
            begin = time.monotonic()
            self.assertEqual(transport(server.url).post(b"{}", 0, 0.4).status, 0)
            self.assertTrue(0.3 < time.monotonic() - begin < 2)

    def test_a_name_that_does_not_exist_is_a_network_error(self):
        with mock.patch("socket.getaddrinfo", side_effect=socket.gaierror("no such name")):
            self.assertIn("no such name", transport("http://in.example.com").post(b"{}", 0, 1).error)

    def test_no_failure_leaks_a_descriptor(self):
        def close(connection):
            pass

        with Listener(close) as server:
            before = descriptors()
            for url in (AWAY, server.url, server.url.replace("http:", "https:")):
                t = transport(url)
                for _ in range(5):
                    self.assertEqual(t.post(b"{}", 0, 1).status, 0)
            eventually(lambda: descriptors() <= before)

    def test_a_failed_attempt_holds_nothing(self):
        t = transport(AWAY, gzip=False)
        body = bytes(bytearray(b"{}"))
        gc.disable()
        try:
            before = sys.getrefcount(body)
            self.assertEqual(t.post(body, 0, 1).status, 0)
            self.assertEqual(sys.getrefcount(body), before)
        finally:
            gc.enable()

    def test_a_certificate_that_nobody_vouches_for_is_refused(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("aNULL:@SECLEVEL=0")
        context.maximum_version = ssl.TLSVersion.TLSv1_2

        def handle(connection):
            try:
                context.wrap_socket(connection, server_side=True)
            except (OSError, ValueError):
                pass

        with Listener(handle) as server:
            answer = transport(server.url.replace("http:", "https:")).post(b"{}", 0, 5)
            self.assertEqual(answer.status, 0)
            self.assertIn("SSL", answer.error)


class Proxies(unittest.TestCase):
    def ask(self, endpoint, environment, answer=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", **options):
        """The head of the request that a proxy gets."""
        heads = []

        def handle(connection):
            heads.append(read_request(connection).decode("ascii"))
            connection.sendall(answer)

        with Listener(handle) as proxy:
            made = {name: value.replace("PROXY", proxy.url[7:]) for name, value in environment.items()}
            if "proxy" in options:
                options["proxy"] = options["proxy"].replace("PROXY", proxy.url[7:])
            clean = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
            with mock.patch.dict(os.environ, {**clean, **made}, clear=True):
                t = transport(endpoint, **options)
                result = t.post(b"{}", 0, 2)
                t.close()
        return heads, result

    def test_the_environments_proxy_is_used(self):
        heads, answer = self.ask("http://in.example.com", {"http_proxy": "http://u:p%40@PROXY"})
        self.assertEqual(answer.status, 200)
        self.assertTrue(heads[0].startswith("POST http://in.example.com/v1/batch HTTP/1.1\r\nHost: in.example.com\r\n"), heads[0])
        self.assertIn("Proxy-Authorization: Basic dTpwQA==\r\n", heads[0])

    def test_https_goes_through_a_tunnel(self):
        heads, answer = self.ask("https://in.example.com", {"https_proxy": "PROXY"}, b"HTTP/1.1 407 Who?\r\nContent-Length: 0\r\n\r\n")
        self.assertTrue(heads[0].startswith("CONNECT in.example.com:443 HTTP/1.1\r\nHost: in.example.com:443\r\n"), heads[0])
        self.assertNotIn("Authorization: Basic azo", heads[0], "the key is for ingest only")
        self.assertIn("proxy: answered CONNECT with 407", answer.error)

    def test_the_option_wins(self):
        heads, _ = self.ask("http://in.example.com", {"http_proxy": "http://127.0.0.1:9"}, proxy="http://PROXY")
        self.assertEqual(len(heads), 1)

    def test_no_proxy_and_this_machine_go_without(self):
        refused = mock.patch("socket.getaddrinfo", side_effect=socket.gaierror("looked up"))
        for endpoint, environment, options in (
            ("http://in.example.com", {"http_proxy": "http://PROXY", "no_proxy": "example.com"}, {}),
            ("http://127.0.0.1:9", {"http_proxy": "http://PROXY"}, {}),
            ("http://localhost:9", {"http_proxy": "http://PROXY"}, {}),
            ("http://in.example.com", {"http_proxy": "http://PROXY"}, {"proxy": ""}),
        ):
            with self.subTest(endpoint=endpoint), refused:
                heads, answer = self.ask(endpoint, environment, **options)
                self.assertEqual(heads, [])
                self.assertIn("looked up", answer.error)


class Cut(unittest.TestCase):
    def test_abort_ends_a_wait_from_another_thread(self):
        with Listener(lambda connection: [part for part in iter(lambda: connection.recv(65536), b"")]) as server:
            t = transport(server.url)
            told = []
            thread = threading.Thread(target=lambda: told.append(t.post(b"{}", 0, 20)))
            thread.start()
            eventually(lambda: t.connected)
            t.abort()
            thread.join(5)
            self.assertEqual(told[0].status, 0)

    def test_events_survive_cuts(self):
        with Server(CUT, CUT) as server, client(server.url) as c:
            c.track("u1", "A")
            c.flush()
            self.assertEqual(len(server.requests), 3)


if __name__ == "__main__":
    unittest.main()
