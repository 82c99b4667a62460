-- Seasons: where they start in the journal, the standings that each left behind, and how far a reset has come.

-- The journal is the truth; a row is where an entry of kind 6 stands. The name is a season's identity: it starts once.
CREATE TABLE seasons (
    queue  INTEGER NOT NULL REFERENCES queues (queue),
    season INTEGER NOT NULL CHECK (season > 0),
    seq    INTEGER NOT NULL UNIQUE REFERENCES journal (seq),
    name   TEXT NOT NULL,
    reset  INTEGER NOT NULL CHECK (reset BETWEEN 1 AND 3),      -- 1 hard, 2 soft, 3 uncertainty
    PRIMARY KEY (queue, season),
    UNIQUE (queue, name)
) STRICT, WITHOUT ROWID;

-- The leaderboard as it stood when the next season started, by generation like the ratings themselves. Season 0 is what came before the
-- first. Without foreign keys: the rows of ratings that these were made of had them.
CREATE TABLE season_standings (
    generation  INTEGER NOT NULL,
    season      INTEGER NOT NULL,
    player      INTEGER NOT NULL,
    visible     REAL NOT NULL,          -- as it was shown: with decay
    mean        REAL NOT NULL,
    uncertainty REAL NOT NULL,
    wins        INTEGER NOT NULL,
    losses      INTEGER NOT NULL,
    draws       INTEGER NOT NULL,
    PRIMARY KEY (generation, season, player)
) STRICT, WITHOUT ROWID;
CREATE INDEX season_leaderboard ON season_standings (generation, season, visible DESC, player);

-- A reset that is under way in a generation: the standings of players up to this one are those of the new season already.
CREATE TABLE season_resets (
    generation   INTEGER PRIMARY KEY REFERENCES generations (generation),
    seq          INTEGER NOT NULL REFERENCES journal (seq),
    after_player INTEGER NOT NULL
) STRICT;

-- Everything that decides who stands where: placements and decay are found without the rows themselves.
DROP INDEX leaderboard;
CREATE INDEX leaderboard ON ratings (generation, visible DESC, player, wins, losses, draws, last_at_s);
