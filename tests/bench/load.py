"""What the benchmark sends: many small requests by wrk, and large bodies by hand."""

import http.client
import os
import pathlib
import re
import socket
import subprocess
import threading

import envoy

HERE = pathlib.Path(__file__).resolve().parent
CONNECTIONS = 16

# What a browser's fetch() sends beside Origin and Host.
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Accept": "*/*",
    "Accept-Language": "en-US,en;q=0.9",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Referer": "https://a0.example/",
    "Sec-CH-UA": '"Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"',
    "Sec-CH-UA-Mobile": "?0",
    "Sec-CH-UA-Platform": '"Linux"',
    "Sec-Fetch-Dest": "empty",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Site": "cross-site",
}


def wrk(port, headers, seconds=1, script=None, args=()):
    """Keeps a few connections busy, one request at a time on each. Returns how many were answered, and that per second."""
    command = ["wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s", "--timeout", "10s"]
    for name, value in headers.items():
        command += ["--header", f"{name}: {value}"]
    if script:
        command += ["--script", HERE / script]
    command += [f"http://127.0.0.1:{port}/", "--", *args]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, preexec_fn=envoy.die_with_parent).stdout
    if errors := re.search(r"Socket errors: .*", output):
        raise SystemExit(f"wrk: {errors[0]}")
    count = re.search(r"(\d+) requests in", output)[1]
    return int(count), float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])


def exchange(port, method, headers):
    """One request, to see that what is measured does what it should: status and `Access-Control-Allow-Origin`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, "/", headers=headers)
        reply = connection.getresponse()
        return reply.status, reply.headers.get("access-control-allow-origin")
    finally:
        connection.close()


class BodyServer:
    """An upstream that answers every request with a body of `size` zero bytes, by sendfile. One connection at a time."""

    def __init__(self, size):
        self.size = size
        self.file = os.memfd_create("body")
        os.truncate(self.file, size)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection):
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {self.size}\r\n\r\n"
        try:
            while _read_head(connection):
                connection.sendall(head.encode())
                sent = 0
                while sent < self.size:
                    sent += os.sendfile(connection.fileno(), self.file, sent, self.size - sent)
        except OSError:
            pass  # the gateway went away
        finally:
            connection.close()


class BodyClient:
    """Fetches bodies over one connection, and lets the kernel throw them away."""

    def __init__(self, port, headers):
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        lines = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "127.0.0.1", **headers}.items())
        self.request = f"GET / HTTP/1.1\r\n{lines}\r\n".encode()
        self.waste = bytearray(1024 * 1024)

    def fetch(self, size):
        self.connection.sendall(self.request)
        _, rest = _read_head(self.connection).split(b"\r\n\r\n", 1)
        left = size - len(rest)
        while left:
            count = self.connection.recv_into(self.waste, min(left, len(self.waste)), socket.MSG_TRUNC)
            if not count:
                raise SystemExit("the body broke off")
            left -= count

    def close(self):
        self.connection.close()


def _read_head(connection):
    """Reads until the empty line. Nothing if the connection ends before it."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = connection.recv(4096)
        if not data:
            return b""
        head += data
    return head
