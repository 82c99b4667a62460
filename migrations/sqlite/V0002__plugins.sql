-- Which plugins were installed, which filled each role, what the running host made of them, and who rated each match.

-- Components that `ranked plugin install` put beside plugins.toml, by the digest that names the file.
CREATE TABLE components (
    digest       BLOB PRIMARY KEY CHECK (length(digest) = 32),
    name         TEXT NOT NULL,
    version      TEXT NOT NULL,
    roles        INTEGER NOT NULL,      -- bit 0 rating, bit 1 rules, bit 2 policy
    bytes        INTEGER NOT NULL,
    publisher    TEXT,                  -- whose signature was verified; NULL: none was asked for
    installed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Tables of plugins.toml that were put there by command, the newest last: what a rollback goes back to.
CREATE TABLE plugin_versions (
    plugin_version INTEGER PRIMARY KEY AUTOINCREMENT,
    queue          TEXT NOT NULL,
    role           INTEGER NOT NULL CHECK (role BETWEEN 1 AND 3),   -- 1 rating, 2 rules, 3 policy
    settings       TEXT NOT NULL,       -- the whole table, as TOML
    digest         BLOB NOT NULL CHECK (length(digest) = 32),
    written_by     TEXT NOT NULL,
    written_at     INTEGER NOT NULL
) STRICT;
CREATE INDEX plugin_versions_by_role ON plugin_versions (queue, role, plugin_version);

-- What the running host says about each role: written by the host, read by the commands.
CREATE TABLE plugin_states (
    queue     TEXT NOT NULL,
    role      INTEGER NOT NULL CHECK (role BETWEEN 1 AND 3),
    digest    BLOB NOT NULL CHECK (length(digest) = 32),    -- in force
    name      TEXT NOT NULL,
    version   TEXT NOT NULL,
    since     INTEGER NOT NULL,
    wanted    BLOB CHECK (length(wanted) = 32),             -- being built, or refused; NULL: what is in force is what is wanted
    through   INTEGER,                  -- being built: journal entries looked at ..
    head      INTEGER,                  -- .. out of so many
    problem   TEXT,                     -- refused: why
    PRIMARY KEY (queue, role)
) STRICT, WITHOUT ROWID;

-- Requests to read plugins.toml again.
CREATE TABLE reloads (
    reload       INTEGER PRIMARY KEY AUTOINCREMENT,
    requested_by TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    taken_at     INTEGER,               -- a running host has seen it
    ended_at     INTEGER,               -- everything was loaded; a rating engine may still be built
    problem      TEXT                   -- why not all of it was
) STRICT;

-- The generation that rated a match's report first; a later one may show other ratings for it.
ALTER TABLE matches ADD COLUMN rated_by INTEGER REFERENCES generations (generation);
CREATE INDEX matches_not_rated ON matches (queue, report_seq) WHERE report_seq IS NOT NULL AND rated_by IS NULL;
