"""Game server and player over real sockets: sections 3, 6, 7, 10 and 11 of docs/protocol.md."""

import json
import os
import pathlib
import queue
import select
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request

import messages
from wire import (
    CLOSE, HEADER_LEN, KEY_UPDATE, REJECT, S2S, Close, Handshake, Identity, Pins, Refused, parse_header, parse_reject, require,
)  # fmt: skip

# For each read of a handshake and of a record that has begun.
READ_S_MAX = 10
HTTP_S_MAX = 30
FILE_LEN_MAX = 16_384
ANSWER_LEN_MAX = 1 << 20


def unix_ms():
    return time.time_ns() // 1_000_000


# Section 10: files.


def read_envelope(path, kind, required, optional=()):
    """The fields of a `NAME.cert` or `pepper.key`."""
    text = pathlib.Path(path).read_text(encoding="utf-8")
    if len(text.encode()) > FILE_LEN_MAX:
        raise ValueError(f"{path}: too long")
    lines = iter(line.strip() for line in text.splitlines())
    fields = {}
    if not any(line == f"-----BEGIN RANKED {kind}-----" for line in lines):
        raise ValueError(f"{path}: no BEGIN line of a {kind}")
    for line in lines:
        if line == f"-----END RANKED {kind}-----":
            break
        if not line or line.startswith("#"):
            continue
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or name not in (*required, *optional) or name in fields:
            raise ValueError(f"{path}: unknown or repeated field {name!r}")
        fields[name] = value
    else:
        raise ValueError(f"{path}: no END line")
    missing = set(required) - set(fields)
    if missing:
        raise ValueError(f"{path}: {sorted(missing)} missing")
    return fields


def read_community(path):
    """`community.toml`: strings and numbers in three tables. Python before 3.11 has no TOML; this reads what the page shows."""
    tables, name = {"": {}}, ""
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        line = line.strip()
        if line.startswith("["):
            name = line.partition("]")[0][1:]
            tables[name] = {}
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            value = value.strip()
            if value.startswith("'"):
                tables[name][key.strip()] = value[1:].partition("'")[0]
            else:
                tables[name][key.strip()] = json.JSONDecoder().raw_decode(value)[0]
    return tables


def pins_of(realm_id, signing_keys):
    """Pins as hexadecimal texts, keyed by decimal key epoch, say them: in `community.toml` and in HTTP answers."""
    return Pins(bytes.fromhex(realm_id), {int(key_epoch): bytes.fromhex(key) for key_epoch, key in signing_keys.items()})


def endpoint(address):
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def load_game_server(certificate_path, pepper_path, community_path):
    """Identity, pins and the S2S address of a game server."""
    certificate = read_envelope(certificate_path, "CERTIFICATE", ("certificate", "certificate-secret", "pepper-id"), ("node-key",))
    pepper = read_envelope(pepper_path, "PEPPER", ("pepper-id", "pepper"))
    community = read_community(community_path)
    if not int(certificate["pepper-id"]) == int(pepper["pepper-id"]) == community[""]["pepper_id"]:
        raise ValueError("the certificate is for another pepper")
    identity = Identity.of_game_server(
        bytes.fromhex(certificate["certificate"]),
        bytes.fromhex(certificate["certificate-secret"]),
        bytes.fromhex(pepper["pepper"]),
        bytes.fromhex(certificate["node-key"]),
    )
    return identity, pins_of(community[""]["realm_id"], community["signing_keys"]), community["addresses"]["s2s"]


# Section 3: accounts over HTTP.


class HttpRefused(Exception):
    """The host's answer is a refusal."""

    def __init__(self, status, body):
        super().__init__(f"{status}: {body}")
        self.status, self.code, self.retry_after_s = status, body.get("code"), body.get("retry_after_s")


class Accounts:
    """Registering, logging in, login tickets."""

    def __init__(self, base_url):
        self.base_url = base_url.rstrip("/")

    def register(self, name, password):
        return self._call("POST", "/v1/players", 201, {"name": name, "password": password})

    def log_in(self, name, password):
        return self._call("POST", "/v1/login", 200, {"name": name, "password": password})

    def login_ticket(self, access_token):
        return self._call("POST", "/v1/login-ticket", 201, None, access_token)

    def get(self, path):
        return self._call("GET", path, 200)

    def _call(self, method, path, expected, body=None, access_token=None):
        headers = {} if body is None else {"content-type": "application/json"}
        if access_token:
            headers["authorization"] = f"Bearer {access_token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base_url + path, data, headers, method=method)
        # The environment's proxies are not asked: they would see the password.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=ssl.create_default_context())
        )
        try:
            with opener.open(request, timeout=HTTP_S_MAX) as answer:
                if answer.status != expected:
                    raise HttpRefused(answer.status, {"code": "unexpected-status"})
                return json.loads(answer.read(ANSWER_LEN_MAX))
        except urllib.error.HTTPError as error:
            with error:
                raise HttpRefused(error.code, json.loads(error.read(ANSWER_LEN_MAX))) from None


class TicketFile:
    """Where a player keeps the login ticket: replaced durably, never half written (section 7)."""

    def __init__(self, path, login_ticket):
        self.path = pathlib.Path(path)
        self.store(login_ticket)

    def load(self):
        return bytes.fromhex(self.path.read_text())

    def store(self, login_ticket):
        beside = self.path.with_suffix(".new")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(login_ticket.hex())
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)
        directory = os.open(self.path.parent, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)


# Sections 4 to 7 over TCP.


class Turned(Exception):
    """A Reject instead of M2: a hint."""

    def __init__(self, code, retry_after_s):
        super().__init__({1: "busy", 2: "no common version", 3: "clock skew"}.get(code, f"reject {code}"))
        self.code, self.retry_after_s = code, retry_after_s


class Ended(Exception):
    """The session is over. `close` is the host's Close, or None if TCP ended without one."""

    def __init__(self, why, close=None):
        super().__init__(why)
        self.close = close


def _read(stream, length):
    data = bytearray()
    while len(data) < length:
        part = stream.recv(length - len(data))
        if not part:
            raise EOFError("truncated")
        data += part
    return bytes(data)


class Connection:
    """One session. A thread reads records into `inbox`, and says `idle` (a message and its fields) when nothing else was said."""

    def __init__(self, address, identity, pins, idle, store_ticket=None):
        self.outgoing = messages.FROM_GAME_SERVER if identity.channel == S2S else messages.FROM_PLAYER
        self.incoming = messages.TO_GAME_SERVER if identity.channel == S2S else messages.TO_PLAYER
        self.idle, self.inbox, self.lock = idle, queue.Queue(maxsize=1024), threading.Lock()
        self.ending, self.key_updates_seen = None, 0
        self.stream = socket.create_connection(endpoint(address), timeout=READ_S_MAX)
        try:
            self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.session = self._shake_hands(identity, pins)
        except (OSError, EOFError, Refused, Turned):
            # Nothing is sent: a handshake that fails fails silently.
            self.stream.close()
            raise
        if self.session.next_ticket and store_ticket:
            store_ticket(self.session.next_ticket)
        # Half of the longest interval: a late thread is still in time.
        self.interval_s = self.session.heartbeat_ms / 2000
        self.said_at = self.heard_at = time.monotonic()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _shake_hands(self, identity, pins):
        handshake = Handshake(identity, pins)
        self.stream.sendall(handshake.hello(unix_ms()))
        header = parse_header(_read(self.stream, HEADER_LEN))
        handshake.check_server_hello_header(header)
        payload = _read(self.stream, header.payload_len)
        if header.msg_type == REJECT:
            raise Turned(*parse_reject(payload))
        self.stream.sendall(handshake.finish(header, payload, unix_ms()))
        header = parse_header(_read(self.stream, HEADER_LEN))
        handshake.check_server_finish_header(header)
        return handshake.complete(header, _read(self.stream, header.payload_len), unix_ms())

    def send(self, kind, /, **fields):
        """Seals and sends one message. Returns its plaintext."""
        msg_type, (_, limit) = next((number, row) for number, row in self.outgoing.items() if row[0] == kind)
        plaintext = messages.encode(kind, fields)
        if len(plaintext) + 16 > min(limit, self.session.max_payload):
            raise ValueError(f"{kind} is too long")
        with self.lock:
            if self.ending is None:
                self.stream.sendall(self.session.sender.seal(msg_type, plaintext, unix_ms()))
                self.said_at = time.monotonic()
        return plaintext

    def update_key(self, request=False):
        """Rekeys our direction; asks the host to do the same."""
        with self.lock:
            self.stream.sendall(self.session.sender.update_key(unix_ms(), request))

    def receive(self, timeout_s=20):
        """The next message as (name, fields). Raises `Ended`, or `TimeoutError`."""
        try:
            item = self.inbox.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError("the host is silent") from None
        if isinstance(item, Exception):
            self.inbox.put(item)
            raise item
        return item

    def expect(self, name, *passing, timeout_s=20):
        """The next message, which must be `name`; messages of the kinds in `passing` before it are skipped."""
        deadline = time.monotonic() + timeout_s
        while True:
            got, fields = self.receive(max(0.0, deadline - time.monotonic()))
            if got == name:
                return fields
            require(got in passing, f"{got} {fields} instead of {name}")

    def close(self, code=0, text=""):
        """Ends the session with a Close, unless it has ended."""
        self._finish(Ended("closed by this side"), code, text)
        self.thread.join()

    def _finish(self, ending, code=None, text=""):
        with self.lock:
            if self.ending is None:
                self.ending = ending
                try:
                    if code is not None:
                        self.stream.sendall(self.session.sender.close(code, self.session.receiver.accepted, text, unix_ms()))
                    self.stream.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # the host was faster
                self.stream.close()
        try:
            self.inbox.put_nowait(self.ending)
        except queue.Full:
            pass  # nobody reads

    def _run(self):
        try:
            while True:
                self._tick()
        except Refused as refused:
            self._finish(Ended(f"the host broke the protocol: {refused}"), 5 if refused.owes_close else None)
        except messages.Malformed as error:
            self._finish(Ended(f"the host broke the protocol: {error}"), 5)
        except Ended as ended:
            self._finish(ended)
        except (OSError, EOFError, ValueError) as error:
            self._finish(Ended(f"truncated: {error}"))
        except queue.Full:
            self._finish(Ended("nobody reads what the host says"), 6)

    def _tick(self):
        now = time.monotonic()
        silence_ends = self.heard_at + self.session.idle_timeout_ms / 1000
        if now >= silence_ends:
            self._finish(Ended("the host went silent"), 5)
            raise self.ending
        if now >= self.said_at + self.interval_s:
            name, fields = self.idle
            self.send(name, **fields)
        readable, _, _ = select.select([self.stream], [], [], max(0.0, min(silence_ends, self.said_at + self.interval_s) - now))
        if not readable:
            return
        header = parse_header(_read(self.stream, HEADER_LEN))
        self.session.receiver.check_header(header)
        opened = self.session.receiver.open(header, _read(self.stream, header.payload_len), unix_ms())
        self.heard_at = time.monotonic()
        if header.msg_type == CLOSE:
            raise Ended(f"the host closed with {opened.code}: {opened.text!r}", opened)
        if header.msg_type == KEY_UPDATE:
            self._answer_key_update()
            return
        name = self.incoming[header.msg_type][0]
        self.inbox.put_nowait((name, messages.decode(name, opened)))

    def _answer_key_update(self):
        self.key_updates_seen += 1
        if self.session.receiver.update_wanted:
            self.session.receiver.update_wanted = False
            self.update_key()


__all__ = ["Accounts", "Close", "Connection", "Ended", "HttpRefused", "Identity", "TicketFile", "Turned", "load_game_server", "pins_of"]
