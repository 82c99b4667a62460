-- What the running host says about each shadow: written by the host, read by the commands.
CREATE TABLE shadow_states (
    queue   TEXT NOT NULL,
    name    TEXT NOT NULL,
    role    INTEGER NOT NULL CHECK (role BETWEEN 1 AND 3),      -- 1 rating, 2 rules, 3 policy
    digest  BLOB NOT NULL CHECK (length(digest) = 32),
    through INTEGER,                    -- rating: journal entries looked at ..
    head    INTEGER,                    -- .. out of so many; both NULL: it has rated everything, or it rates nothing
    problem TEXT,                       -- why it does nothing more
    PRIMARY KEY (queue, name)
) STRICT, WITHOUT ROWID;
