-- What was predicted of each contest before it was rated, so that a player can ask why; and whose engine said so.

-- One row per contest that a generation rated and could predict. `surprise`: the log loss of the contest, in nats. `predicted`: one
-- little-endian f64 per pair of teams i < j, in the order (0,1), (0,2), .. (1,2), ..; of more than 32 teams one per team: the share of the
-- others that it was expected to place before. Seq without a foreign key: the rating_changes of the same transaction have it.
CREATE TABLE predictions (
    generation INTEGER NOT NULL REFERENCES generations (generation),
    seq        INTEGER NOT NULL,
    surprise   REAL NOT NULL,
    predicted  BLOB NOT NULL,
    PRIMARY KEY (generation, seq)
) STRICT, WITHOUT ROWID;

-- What the player's team was expected to get: the mean probability to place before another team. NULL: not predicted.
ALTER TABLE rating_changes ADD COLUMN expected REAL;

-- What engines call themselves, as they said it last.
CREATE TABLE engine_names (
    digest  BLOB PRIMARY KEY CHECK (length(digest) = 32),
    name    TEXT NOT NULL,
    version TEXT NOT NULL
) STRICT, WITHOUT ROWID;
