# SPDX-License-Identifier: Apache-2.0
# albtest/rawh2.py – HTTP/2 by hand, for callers that do what no library would let them.
#
#     with Raw(port, state=member.state) as raw:
#         stream = raw.ask("POST", "/v1/grant", b"{}")
#         status, body = raw.answer(stream)
#         raw.send(frame(RST_STREAM, 0, stream, (8).to_bytes(4, "big")))
#
# A Raw grants credit only when told to, sends small bodies within the credit it has, answers PINGs
# whenever it reads, and otherwise says exactly what it is asked to say. HPACK is the little of it
# that is needed: literals out, the status in.

import select
import selectors
import socket
import ssl
import threading

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, \
    CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK = 1, 4, 1
HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE = 1, 4
STATUSES = {0x88: 200, 0x89: 204, 0x8a: 206, 0x8b: 304, 0x8c: 400, 0x8d: 404, 0x8e: 500}
# RFC 7541, appendix B: the digits.
HUFFMAN = {**{format(n, "05b"): str(n) for n in range(3)},
           **{format(0b011001 + n, "06b"): str(n + 3) for n in range(7)}}


class Ended(Exception):
    """The other side ended connection or stream; `.code` is its HTTP/2 error, if it said."""

    def __init__(self, text, code=None):
        super().__init__(text)
        self.code = code


def frame(kind, flags, stream, payload=b""):
    return (len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
            + payload)


def setting(ident, value):
    return ident.to_bytes(2, "big") + value.to_bytes(4, "big")


def prefixed(value, bits):
    """HPACK's integer with a prefix of so many bits."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([value])
    out, value = [most], value - most
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


def literal(name, value):
    name, value = name.encode(), value.encode()
    return b"\x00" + prefixed(len(name), 7) + name + prefixed(len(value), 7) + value


def headers(method, path, *more):
    fields = [(":method", method), (":scheme", "https"), (":path", path), (":authority", "x")]
    fields += more
    return b"".join(literal(*f) for f in fields)


def status_of(block):
    while block and block[0] & 0xe0 == 0x20:  # a new size of the table
        block = block[1:]
    if block[0] in STATUSES:
        return STATUSES[block[0]]
    text = block[2:2 + (block[1] & 0x7f)]
    if block[1] & 0x80:
        bits, text, word = "".join(format(b, "08b") for b in text), "", ""
        for bit in bits:
            word += bit
            if word in HUFFMAN:
                text, word = text + HUFFMAN[word], ""
        return int(text)
    return int(text)


def context(state):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.set_alpn_protocols(["h2"])
    if state is not None:
        made.load_cert_chain(state / "certificate.pem", state / "key.pem")
    return made


class Raw:
    """One connection. `state`: a member's folder, for its certificate; None: nobody."""

    def __init__(self, port, state=None, tls=None, settings=b"", addr="127.0.0.1", timeout=30):
        plain = socket.create_connection((addr, port), timeout=timeout)
        self.sock = (tls or context(state)).wrap_socket(plain)
        self.next_stream, self.taken, self.statuses, self.bodies = 1, b"", {}, {}
        self.over, self.reset, self.goaway, self.window = set(), {}, None, 65535
        self.send(PREFACE + frame(SETTINGS, 0, 0, setting(HEADER_TABLE_SIZE, 0) + settings))

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise Ended(str(error)) from None

    def ask(self, method, path, body=None, more=(), end=True):
        """Begin a request; `end` False leaves it open for more body."""
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        is_over = END_STREAM if end and body is None else 0
        self.send(frame(HEADERS, END_HEADERS | is_over, stream, headers(method, path, *more)))
        if body is not None:
            while self.window < len(body):
                self.read()
            self.window -= len(body)
            self.send(frame(DATA, END_STREAM if end else 0, stream, body))
        return stream

    def credit(self, stream, size):
        self.send(frame(WINDOW_UPDATE, 0, stream, size.to_bytes(4, "big")))

    def read(self):
        """One frame from the other side: (kind, flags, stream, payload)."""
        head = self._take(9)
        payload = self._take(int.from_bytes(head[:3], "big"))
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7fffffff
        if kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, payload))
        elif kind == HEADERS:
            self.statuses.setdefault(stream, status_of(payload))
        elif kind == DATA:
            self.bodies[stream] = self.bodies.get(stream, b"") + payload
        elif kind == WINDOW_UPDATE and stream == 0:
            self.window += int.from_bytes(payload, "big")
        elif kind == RST_STREAM:
            self.reset[stream] = int.from_bytes(payload, "big")
        elif kind == GOAWAY:
            self.goaway = int.from_bytes(payload[4:8], "big")
            if self.goaway != 0:  # 0: what was asked is still answered
                raise Ended("goaway", self.goaway)
        if kind in (HEADERS, DATA) and flags & END_STREAM or kind == RST_STREAM:
            self.over.add(stream)
        return kind, flags, stream, payload

    def answer(self, stream):
        """Status and body, once it is all here."""
        while stream not in self.over:
            kind, _, at, payload = self.read()
            if kind == DATA and payload:
                self._refill(at, len(payload))
        if stream not in self.statuses:
            raise Ended("reset", self.reset.get(stream))
        return self.statuses[stream], self.bodies.get(stream, b"")

    def _refill(self, stream, size):
        try:
            self.credit(0, size)
            if stream not in self.over:
                self.credit(stream, size)
        except Ended:
            pass  # it said all and is gone; what it said is still to be read

    def get(self, path):
        return self.answer(self.ask("GET", path))

    def post(self, path, body):
        return self.answer(self.ask("POST", path, body))

    def present_grant(self):
        """Fetch a grant for oneself and present it: this session reads what it covers."""
        status, grant = self.post("/v1/grant", b"{}")
        assert status == 200, (status, grant)
        assert self.post("/v1/session", grant)[0] == 200
        return grant

    def has_more(self):
        """Is there something to read? Part of a frame counts, too."""
        return (len(self.taken) > 0 or self.sock.pending() > 0
                or select.select([self.sock], [], [], 0)[0] != [])

    def until_ended(self):
        """Read on; the HTTP/2 error it ended with, None when it just closed."""
        try:
            while True:
                self.read()
        except Ended as ended:
            return ended.code

    def close(self):
        self.sock.close()

    def _take(self, size):
        while len(self.taken) < size:
            try:
                more = self.sock.recv(1 << 16)
            except (socket.timeout, TimeoutError):
                raise
            except OSError as error:
                raise Ended(str(error)) from None
            if not more:
                raise Ended("closed")
            self.taken += more
        out, self.taken = self.taken[:size], self.taken[size:]
        return out

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def varint(value):
    out = []
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


def batch(layer, root_hex, first, count, which=2):
    """The body of POST /v1/chunks: one run of positions of list M (1), C (2) or R (3)."""
    return (b"\x01" + varint(len(layer)) + layer.encode() + bytes.fromhex(root_hex)
            + bytes([which]) + varint(1) + varint(first) + varint(count - 1))


class Crowd:
    """Many Raws kept alive by one thread: it answers PINGs and reads nothing else on purpose."""

    def __init__(self):
        self.raws, self.ended = [], 0
        self._look = selectors.DefaultSelector()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._pump, daemon=True)
        self._thread.start()

    def add(self, raw):
        raw.sock.settimeout(5)
        with self._lock:
            self.raws.append(raw)
            self._look.register(raw.sock, selectors.EVENT_READ, raw)

    def _pump(self):
        while not self._stop.is_set():
            with self._lock:
                ready = self._look.select(0.05) if self.raws else []
                for key, _ in ready:
                    self._hear(key.data)
            self._stop.wait(0.02)

    def _hear(self, raw):
        try:
            raw.read()
            while raw.sock.pending() or len(raw.taken) >= 9:
                raw.read()
        except (Ended, OSError):
            self._look.unregister(raw.sock)
            self.ended += 1

    def close(self):
        self._stop.set()
        self._thread.join()
        for raw in self.raws:
            raw.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
