-- What the matchmaker saw, for policies that are tried in the shadow. A ring per queue: the oldest go.
CREATE TABLE recorded_ticks (
    tick    INTEGER PRIMARY KEY AUTOINCREMENT,
    queue   INTEGER NOT NULL REFERENCES queues (queue),
    at      INTEGER NOT NULL,
    bytes   INTEGER NOT NULL,
    columns BLOB NOT NULL
) STRICT;
CREATE INDEX recorded_ticks_by_queue ON recorded_ticks (queue, tick, bytes);
