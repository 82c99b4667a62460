-- Decisions about reports: released, voided, restored. The journal is the truth; these tables are what its entries of kinds 3 to 5 say.

-- A queue's revisions, from 1: each voids reports or lets them count again. Revision 0 is the journal without such decisions.
CREATE TABLE revisions (
    queue      INTEGER NOT NULL REFERENCES queues (queue),
    revision   INTEGER NOT NULL CHECK (revision > 0),
    entry      INTEGER NOT NULL REFERENCES journal (seq),   -- the first one, if the decision takes more than one
    kind       INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 2),   -- 1 void, 2 restore
    taken_back INTEGER,                                     -- restore: the revision that voided the reports
    decided_by TEXT NOT NULL,
    why        TEXT NOT NULL,
    incident   TEXT,                                        -- void: how the reports were chosen
    reports    INTEGER NOT NULL,
    decided_at INTEGER NOT NULL,
    PRIMARY KEY (queue, revision)
) STRICT, WITHOUT ROWID;

-- A report is left out of revision r if voided_in <= r and not restored_in <= r.
CREATE TABLE voided_reports (
    seq         INTEGER NOT NULL REFERENCES journal (seq),
    queue       INTEGER NOT NULL REFERENCES queues (queue),
    voided_in   INTEGER NOT NULL,
    restored_in INTEGER,
    PRIMARY KEY (seq, voided_in)
) STRICT, WITHOUT ROWID;
CREATE INDEX voided_reports_by_revision ON voided_reports (queue, voided_in, seq);

-- Held reports that were released: rated where their release stands in the journal.
CREATE TABLE released_reports (
    seq         INTEGER PRIMARY KEY REFERENCES journal (seq),
    released_by INTEGER NOT NULL UNIQUE REFERENCES journal (seq)
) STRICT;

-- A generation is a projection by one engine with one set of parameters of one revision.
ALTER TABLE generations ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
DROP INDEX one_generation_per_engine;
CREATE UNIQUE INDEX one_generation_per_engine ON generations (queue, engine_digest, parameters, revision) WHERE state <> 4;

-- What the stat rules decided, as in the payload: 1 ratable, 2 held, 3 rejected; NULL until the program has looked it up there.
ALTER TABLE reports ADD COLUMN disposition INTEGER;
CREATE INDEX held_reports ON reports (seq) WHERE disposition = 2;
CREATE INDEX reports_not_looked_up ON reports (seq) WHERE disposition IS NULL;

-- Which matches a game server reported.
CREATE INDEX matches_reported ON matches (server, report_seq) WHERE report_seq IS NOT NULL;
