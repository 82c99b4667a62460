"""Plays one match against a running host, as a game server and as its players, and checks every answer. Exits non-zero at a deviation.

    play.py --community community.toml --certificate eu-1.cert --pepper pepper.key --queue duel --region eu --players 2 --state DIR
"""

import argparse
import hashlib
import json
import os
import pathlib
import secrets
import socket
import sys
import threading
import time

from ranked_client import Accounts, Connection, Ended, HttpRefused, Identity, TicketFile, load_game_server, pins_of, read_community, unix_ms
from wire import Refused

RATABLE, RATED, NOT_QUEUED, WAITING = 1, 1, 1, 2
REPLACED, REVOKED = 4, 2


def tell(text):
    print(text, flush=True)


def check(condition, why):
    if not condition:
        raise SystemExit(f"deviation: {why}")


class Arena:
    """The game itself: a listener that asks whoever comes for a join token. Its protocol is 32 bytes, then one byte of answer."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.allowed, self.joined = {}, []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            guest, _ = self.listener.accept()
            with guest:
                token = guest.recv(32, socket.MSG_WAITALL)
                player = self.allowed.get(hashlib.sha256(token).digest())
                if player is not None:
                    self.joined.append(player)
                guest.sendall(b"\x01" if player is not None else b"\x00")


def knock(address, join_token):
    """Whether the game server at the address lets us in."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as stream:
        stream.sendall(join_token)
        return stream.recv(1) == b"\x01"


class Player:
    """An account, its login ticket on disk, and its session."""

    def __init__(self, accounts, state, name):
        password = secrets.token_urlsafe(12)
        registered = accounts.register(name, password)
        try:
            accounts.register(name.upper(), password)
            check(False, "a name was registered twice")
        except HttpRefused as refused:
            check((refused.status, refused.code) == (409, "name-taken"), refused)
        try:
            accounts.log_in(name, password + "x")
            check(False, "a wrong password was taken")
        except HttpRefused as refused:
            check((refused.status, refused.code) == (401, "wrong-credentials"), refused)
        login = accounts.log_in(name, password)
        check(login["player_id"] == registered["player_id"] and login["name"] == name, login)
        answer = accounts.login_ticket(login["access_token"])
        check(answer["expires_at_ms"] > unix_ms(), answer)
        self.name, self.id, self.rdv = name, login["player_id"], answer["rdv"]
        self.pins = pins_of(login["realm_id"], login["signing_keys"])
        self.ticket = TicketFile(state / f"{name}.ticket", bytes.fromhex(answer["login_ticket"]))
        self.connect()

    def connect(self):
        self.shown = self.ticket.load()
        self.session = Connection(self.rdv, Identity.of_player(self.shown), self.pins, ("KeepAlive", {}), self.ticket.store)
        check(self.ticket.load() != self.shown, "the handshake brought no next login ticket")

    def expect(self, name, *passing, **limits):
        return self.session.expect(name, "KeepAliveAck", *passing, **limits)


def open_game_server(arguments, arena):
    identity, pins, s2s = load_game_server(arguments.certificate, arguments.pepper, arguments.community)
    beat = dict(capacity=4, matches=0, players=0, version="python 1", load=0.25, region=arguments.region, address=arena.address, name="")
    server = Connection(s2s, identity, pins, ("Heartbeat", beat))
    server.send("Heartbeat", **beat)
    ack = server.expect("HeartbeatAck")
    check(ack["idle_reason"] == "" and ack["name"] != "", ack)
    check(abs(ack["received_at_ms"] - unix_ms()) < 120_000, ack)
    check(server.session.next_ticket == b"", "a game server got a login ticket")
    tell(f"game server {ack['name']} ({identity.identity.hex()}) is up, session {server.session.session_id.hex()}")
    return identity, server


def take_match(server, arena, players, queue_name):
    """The allowlist, before which nobody is told where to connect."""
    allow = server.expect("AllowPlayers", "HeartbeatAck", timeout_s=60)
    check(allow["queue"] == queue_name and allow["expires_at_ms"] > unix_ms(), allow)
    check(sorted(each["player_id"] for each in allow["players"]) == sorted(player.id for player in players), allow)
    names = {player.id: player.name for player in players}
    check(all(each["name"] == names[each["player_id"]] for each in allow["players"]), allow)
    for player in players:
        early = [item for item in list(player.session.inbox.queue) if isinstance(item, tuple) and item[0] == "Assignment"]
        check(not early, "an address before the acknowledgement")
    arena.allowed = {each["join_token_sha256"]: each["player_id"] for each in allow["players"]}
    server.send("AllowlistAck", match_id=allow["match_id"], accepted=True)
    tell(f"match {allow['match_id']}: {len(players)} players allowed, statistics {allow['stats']}, totals {allow['totals']}")
    return allow


def join(server, arena, players, allow, identity):
    """Assignments, join tokens at the game's own door, and what the host is told of it."""
    teams = {each["player_id"]: each["team"] for each in allow["players"]}
    digests = {each["player_id"]: each["join_token_sha256"] for each in allow["players"]}
    check(not knock(arena.address, bytes(32)), "the door is open for everybody")
    for player in players:
        seat = player.expect("Assignment", "QueueStatus")
        check((seat["match_id"], seat["queue"], seat["region"]) == (allow["match_id"], allow["queue"], allow["region"]), seat)
        check(seat["address"] == arena.address and seat["server_id"] == identity.identity, seat)
        check(seat["team"] == teams[player.id] and seat["expires_at_ms"] == allow["expires_at_ms"], seat)
        check(hashlib.sha256(seat["join_token"]).digest() == digests[player.id], "the join token is not the one that was announced")
        check(knock(seat["address"], seat["join_token"]), "the door is closed")
        server.send("PlayerJoined", match_id=allow["match_id"], player_id=player.id)
        tell(f"{player.name} plays for team {seat['team']} at {seat['address']}")
    check(sorted(arena.joined) == sorted(teams), arena.joined)
    server.send("MatchStarted", match_id=allow["match_id"])


def report(server, allow, state):
    """The report: on disk, sent, acknowledged; sent again, acknowledged alike. Team 0 wins."""
    teams = {}
    for each in allow["players"]:
        teams.setdefault(each["team"], []).append(each["player_id"])
    values = [float(10 + place) for place, _ in enumerate(allow["stats"])]
    rows = [
        dict(place=team, players=[dict(player_id=player, stats=values, presence=1.0) for player in sorted(teams[team])])
        for team in sorted(teams)
    ]
    message = dict(
        report_id=secrets.token_bytes(16), match_id=allow["match_id"], duration_s=600, teams=rows, totals=[10.0] * len(allow["totals"])
    )
    outbox = state / "report.json"
    with outbox.open("w") as file:
        json.dump(message, file, default=bytes.hex)
        file.flush()
        os.fsync(file.fileno())
    server.send("MatchReport", **message)
    ack = server.expect("ReportAck", "HeartbeatAck")
    check((ack["report_id"], ack["match_id"], ack["disposition"]) == (message["report_id"], allow["match_id"], RATABLE), ack)
    server.send("MatchReport", **message)
    check(server.expect("ReportAck", "HeartbeatAck") == ack, "the same report was acknowledged in another way")
    outbox.unlink()
    other = dict(message, report_id=secrets.token_bytes(16))
    server.send("MatchReport", **other)
    refused = server.expect("ReportRefused", "HeartbeatAck")
    check((refused["report_id"], refused["reason"]["code"]) == (other["report_id"], "already-reported"), refused)
    tell(f"report {message['report_id'].hex()} acknowledged twice alike; another one about the same match: {refused['reason']['code']}")


def hear_the_end(players, allow):
    teams = {each["player_id"]: each["team"] for each in allow["players"]}
    for player in players:
        end = player.expect("MatchEnded", "QueueStatus")
        check((end["match_id"], end["ending"], end["place"]) == (allow["match_id"], RATED, teams[player.id]), end)
        before, after = end["visible_before"], end["visible_after"]
        check(before is not None and (after > before if end["place"] == 0 else after < before), end)
        tell(f"{player.name}: place {end['place']}, rating {before:.2f} -> {after:.2f}")


def rekey(server):
    """New keys in our direction, and in the host's on request; heartbeats go on under them."""
    server.update_key(request=True)
    server.send("LogEntries", entries=[dict(level=2, at_ms=unix_ms(), message="new keys")])
    deadline = time.monotonic() + 30
    while server.key_updates_seen == 0:
        check(time.monotonic() < deadline, "the host did not answer the key update")
        server.expect("HeartbeatAck")
    server.expect("HeartbeatAck")
    tell("both directions of the game server's session have new keys")


def rotate(player, queue_name):
    """A queue is left; the next login ticket replaces the session; the spent one ends the family."""
    player.session.send("Enqueue", queue="no such queue")
    refusal = player.expect("Refusal", "QueueStatus")
    check((refusal["msg_type"], refusal["notice"]["code"]) == (0x50, "unknown-queue"), refusal)
    player.session.send("Enqueue", queue=queue_name)
    while player.expect("QueueStatus")["state"] != WAITING:
        pass
    player.session.send("Dequeue")
    while player.expect("QueueStatus")["state"] != NOT_QUEUED:
        pass
    player.session.send("KeepAlive")
    check(abs(player.session.expect("KeepAliveAck", "QueueStatus")["received_at_ms"] - unix_ms()) < 120_000, "KeepAliveAck")

    first, spent = player.session, player.shown
    player.connect()
    player.session.send("KeepAlive")
    player.session.expect("KeepAliveAck", "QueueStatus")
    check(ending_of(first) == REPLACED, "the older session was not replaced")
    must_be_silent(player.rdv, Identity.of_player(spent), player.pins)
    check(ending_of(player.session) == REVOKED, "the family of a spent login ticket lives on")
    tell(f"{player.name}: the next login ticket replaced the session; the spent one was refused and revoked the family")


def must_be_silent(address, identity, pins):
    """The host closes without a word."""
    try:
        Connection(address, identity, pins, None)
    except (EOFError, ConnectionError):
        return
    check(False, "a wrong credential was taken")


def show_wrong_keys(arguments, identity):
    """A game server whose pepper is wrong, one whose node key is wrong; and one that trusts another community."""
    _, pins, s2s = load_game_server(arguments.certificate, arguments.pepper, arguments.community)
    must_be_silent(s2s, Identity(identity.channel, identity.identity, bytes(32), identity.credential, identity.node_seed), pins)
    must_be_silent(s2s, Identity(identity.channel, identity.identity, identity.AK, identity.credential, bytes(32)), pins)
    strangers = {key_epoch: secrets.token_bytes(32) for key_epoch in pins.signing_keys}
    try:
        Connection(s2s, identity, pins_of(pins.realm_id.hex(), {str(each): key.hex() for each, key in strangers.items()}), None)
        check(False, "a host was believed whose key is not pinned")
    except Refused:
        tell("wrong pepper, wrong node key: silence; a host whose signing key is not pinned: refused")


def ending_of(session):
    """The code of the Close that the host must send."""
    try:
        while True:
            session.receive()
    except Ended as ended:
        check(ended.close is not None, ended)
        return ended.close.code


def play(arguments):
    state = pathlib.Path(arguments.state)
    accounts = Accounts(read_community(arguments.community)["addresses"]["http"])
    arena = Arena()
    identity, server = open_game_server(arguments, arena)
    names = [f"{word}-{secrets.token_hex(3)}" for word in ("ada", "bob", "cleo", "dan", "eve", "finn", "gus", "hal", "ida", "jo0")]
    players = [Player(accounts, state, name) for name in names[: arguments.players]]
    for player in players:
        player.session.send("Enqueue", queue=arguments.queue, regions=[dict(region=arguments.region, latency_ms=20)])
        status = player.expect("QueueStatus")
        check(status["queue"] == arguments.queue and status["state"] != NOT_QUEUED, status)
        tell(f"{player.name} (player {player.id}) waits in {status['queue']}")
    allow = take_match(server, arena, players, arguments.queue)
    join(server, arena, players, allow, identity)
    rekey(server)
    report(server, allow, state)
    hear_the_end(players, allow)
    rotate(players[0], arguments.queue)
    for session in (server, *(player.session for player in players[1:])):
        session.close()
    show_wrong_keys(arguments, identity)
    tell("closed")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("community", "certificate", "pepper", "queue", "region", "state"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--players", type=int, default=2, choices=range(2, 11))
    play(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
