-- The whole of RankedServer's storage. Times ending in _at are Unix milliseconds, in _s signed Unix seconds. Identifiers of people,
-- queues and matches are numbers; those of game servers, reports and digests are the raw bytes. Enumerations are the numbers of the
-- ladder crate. AUTOINCREMENT stands where a row may be deleted and its number must never come again.

-- One row. `generation` rises with everything that a running host must notice.
CREATE TABLE control (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    generation INTEGER NOT NULL
) STRICT;
INSERT INTO control (id, generation) VALUES (1, 1);

-- ---- accounts ----

CREATE TABLE players (
    player        INTEGER PRIMARY KEY,
    name          TEXT NOT NULL COLLATE NOCASE UNIQUE,
    password_hash TEXT,                 -- argon2id PHC text; NULL: imported, cannot log in
    registered_at INTEGER NOT NULL
) STRICT;

CREATE TABLE logins (
    login_id          BLOB PRIMARY KEY CHECK (length(login_id) = 16),
    player            INTEGER NOT NULL REFERENCES players (player),
    access_token_hash BLOB NOT NULL UNIQUE CHECK (length(access_token_hash) = 32),
    opened_at         INTEGER NOT NULL,
    expires_at        INTEGER NOT NULL,
    ended_at          INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX logins_by_player ON logins (player, opened_at);

-- All login tickets that descend from one HTTP request; revoked together when one is stolen.
CREATE TABLE login_ticket_families (
    family          INTEGER PRIMARY KEY AUTOINCREMENT,
    login_id        BLOB NOT NULL REFERENCES logins (login_id),
    opened_at       INTEGER NOT NULL,
    revoked_at      INTEGER,
    revoked_because TEXT
) STRICT;
CREATE INDEX login_ticket_families_by_login ON login_ticket_families (login_id);

-- Only the SHA-256 of a ticket is here: the rows do not let anybody in.
CREATE TABLE login_tickets (
    ticket_id  BLOB PRIMARY KEY CHECK (length(ticket_id) = 16),
    family     INTEGER NOT NULL REFERENCES login_ticket_families (family),
    hash       BLOB NOT NULL CHECK (length(hash) = 32),
    issued_at  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    state      INTEGER NOT NULL CHECK (state BETWEEN 1 AND 3)   -- 1 pending, 2 live, 3 superseded
) STRICT, WITHOUT ROWID;
CREATE INDEX login_tickets_by_family ON login_tickets (family);

-- ---- certificates ----

CREATE TABLE key_epochs (
    key_epoch       INTEGER PRIMARY KEY,
    public_key      BLOB NOT NULL CHECK (length(public_key) = 32),
    created_at      INTEGER NOT NULL,
    retired_at      INTEGER,
    retired_because TEXT
) STRICT;

CREATE TABLE certificates (
    server             BLOB PRIMARY KEY CHECK (length(server) = 16),
    owner              TEXT NOT NULL,
    scope              INTEGER NOT NULL,
    key_epoch          INTEGER NOT NULL REFERENCES key_epochs (key_epoch),
    issued_at          INTEGER NOT NULL,
    not_before         INTEGER NOT NULL,
    not_after          INTEGER NOT NULL,
    node_public_key    BLOB NOT NULL CHECK (length(node_public_key) = 32),
    certificate        BLOB NOT NULL,
    secret_commitment  BLOB NOT NULL CHECK (length(secret_commitment) = 32),
    sealed_secret      BLOB NOT NULL,
    pepper_id          INTEGER NOT NULL,
    revoked_at         INTEGER,
    revoked_code       TEXT,
    revoked_detail     TEXT,
    last_seen_at       INTEGER,
    last_seen_address  TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX certificates_by_key_epoch ON certificates (key_epoch);

-- ---- queues ----

CREATE TABLE queues (
    queue INTEGER PRIMARY KEY,
    name  TEXT NOT NULL UNIQUE
) STRICT;

-- match_id NULL: waiting. Set: its match is pending. The row goes when the match is admitted.
CREATE TABLE queue_tickets (
    queue_ticket INTEGER PRIMARY KEY AUTOINCREMENT,
    queue        INTEGER NOT NULL REFERENCES queues (queue),
    regions      INTEGER NOT NULL,      -- bit r set: may play in region r
    enqueued_at  INTEGER NOT NULL,
    match_id     INTEGER
) STRICT;

CREATE TABLE queue_ticket_members (
    queue_ticket INTEGER NOT NULL REFERENCES queue_tickets (queue_ticket) ON DELETE CASCADE,
    position     INTEGER NOT NULL,
    player       INTEGER NOT NULL UNIQUE REFERENCES players (player),   -- nobody queues twice
    latency_ms   BLOB NOT NULL,         -- one big-endian u16 per region
    PRIMARY KEY (queue_ticket, position)
) STRICT, WITHOUT ROWID;

-- ---- matches ----

CREATE TABLE matches (
    match_id      INTEGER PRIMARY KEY AUTOINCREMENT,
    queue         INTEGER NOT NULL REFERENCES queues (queue),
    server        BLOB NOT NULL CHECK (length(server) = 16),
    region        INTEGER NOT NULL,
    state         INTEGER NOT NULL CHECK (state BETWEEN 1 AND 5),
    quality       REAL NOT NULL,
    policy_digest BLOB NOT NULL CHECK (length(policy_digest) = 32),
    moves         INTEGER NOT NULL DEFAULT 0,
    opened_at     INTEGER NOT NULL,
    admitted_at   INTEGER,
    started_at    INTEGER,
    ended_at      INTEGER,
    report_seq    INTEGER REFERENCES journal (seq),
    reason_code   TEXT,                 -- why it was voided
    reason_detail TEXT
) STRICT;
CREATE INDEX matches_active ON matches (server, state) WHERE state <= 3;

CREATE TABLE match_players (
    match_id     INTEGER NOT NULL REFERENCES matches (match_id),
    team         INTEGER NOT NULL,
    position     INTEGER NOT NULL,
    player       INTEGER NOT NULL REFERENCES players (player),
    queue_ticket INTEGER NOT NULL,      -- no foreign key: the queue ticket goes when the match is admitted
    joined_at    INTEGER,
    left_at      INTEGER,
    PRIMARY KEY (match_id, team, position)
) STRICT, WITHOUT ROWID;

-- Who is bound to a pending, admitted or live match. The primary key is the rule: nobody plays twice at once.
CREATE TABLE active_players (
    player   INTEGER PRIMARY KEY REFERENCES players (player),
    match_id INTEGER NOT NULL REFERENCES matches (match_id)
) STRICT;

-- ---- the journal: append-only, the truth for ratings ----

CREATE TABLE journal (
    seq         INTEGER PRIMARY KEY,
    kind        INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    queue       INTEGER NOT NULL REFERENCES queues (queue),
    payload     BLOB NOT NULL,
    hash        BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE TRIGGER journal_entries_never_change BEFORE UPDATE ON journal BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only');
END;
CREATE TRIGGER journal_entries_never_go BEFORE DELETE ON journal BEGIN
    SELECT RAISE(ABORT, 'the journal is append-only');
END;

-- A report id is accepted once, whoever sends it.
CREATE TABLE reports (
    report_id BLOB PRIMARY KEY CHECK (length(report_id) = 16),
    seq       INTEGER NOT NULL REFERENCES journal (seq)
) STRICT, WITHOUT ROWID;

-- Reports that an operator gave up, by the journal entry that says so.
CREATE TABLE skipped_reports (
    seq        INTEGER PRIMARY KEY REFERENCES journal (seq),
    skipped_by INTEGER NOT NULL REFERENCES journal (seq)
) STRICT;

CREATE TABLE server_records (
    server   BLOB PRIMARY KEY CHECK (length(server) = 16),
    contests INTEGER NOT NULL,
    clamped  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- ---- generations: projections of the journal ----

CREATE TABLE generations (
    generation          INTEGER PRIMARY KEY AUTOINCREMENT,
    queue               INTEGER NOT NULL REFERENCES queues (queue),
    engine_digest       BLOB NOT NULL CHECK (length(engine_digest) = 32),
    parameters          TEXT NOT NULL,
    state               INTEGER NOT NULL CHECK (state BETWEEN 1 AND 4),  -- 1 building, 2 active, 3 retired, 4 abandoned
    rated_through       INTEGER,        -- entries after it are still to be rated; NULL: none are
    initial_mean        REAL NOT NULL,
    initial_uncertainty REAL NOT NULL,
    initial_visible     REAL NOT NULL,
    created_at          INTEGER NOT NULL,
    activated_at        INTEGER
) STRICT;
CREATE UNIQUE INDEX one_active_generation ON generations (queue) WHERE state = 2;
CREATE UNIQUE INDEX one_generation_per_engine ON generations (queue, engine_digest, parameters) WHERE state <> 4;

-- What an engine remembers of a whole queue; apart from generations, because it may change with every report.
CREATE TABLE queue_memories (
    generation INTEGER PRIMARY KEY REFERENCES generations (generation),
    memory     BLOB NOT NULL
) STRICT;

CREATE TABLE ratings (
    generation  INTEGER NOT NULL REFERENCES generations (generation),
    player      INTEGER NOT NULL REFERENCES players (player),
    mean        REAL NOT NULL,
    uncertainty REAL NOT NULL,
    visible     REAL NOT NULL,
    contests    INTEGER NOT NULL,
    wins        INTEGER NOT NULL,
    losses      INTEGER NOT NULL,
    draws       INTEGER NOT NULL,
    last_at_s   INTEGER NOT NULL,
    memory      BLOB NOT NULL,
    PRIMARY KEY (generation, player)
) STRICT, WITHOUT ROWID;
CREATE INDEX leaderboard ON ratings (generation, visible DESC, player);

-- One row per player and rated report. Players without a foreign key: the ratings row of the same statement has it.
CREATE TABLE rating_changes (
    generation         INTEGER NOT NULL REFERENCES generations (generation),
    player             INTEGER NOT NULL,
    seq                INTEGER NOT NULL REFERENCES journal (seq),
    match_id           INTEGER,
    at_s               INTEGER NOT NULL,
    place              INTEGER NOT NULL,
    mean_before        REAL NOT NULL,
    uncertainty_before REAL NOT NULL,
    visible_before     REAL NOT NULL,
    mean               REAL NOT NULL,
    uncertainty        REAL NOT NULL,
    visible            REAL NOT NULL,
    PRIMARY KEY (generation, player, seq)
) STRICT, WITHOUT ROWID;
