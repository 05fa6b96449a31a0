-- Throughput first: what this machine was measured to do, what each plan was expected to take, and the limits and
-- approvals that follow; with the typed ends of missions and jobs. Names in CHECKs are the `as_str` names of `base`.

-- One measurement of a machine with a preset's sizes. A later one stands in its place for everything that is planned.
CREATE TABLE probes (
    id          INTEGER PRIMARY KEY,
    machine     TEXT    NOT NULL, -- what makes two measurements comparable: processor, threads, system, build
    preset_hash TEXT    NOT NULL,
    versions    TEXT    NOT NULL CHECK (json_valid(versions)),
    rates       TEXT    NOT NULL CHECK (json_valid(rates)),
    error       TEXT, -- why it measured nothing; NULL when it did
    seconds     REAL    NOT NULL CHECK (seconds >= 0),
    measured_at INTEGER NOT NULL
) STRICT;
CREATE INDEX probes_of ON probes (machine, preset_hash, id);

-- What an accepted plan was expected to take. What it took stands in its job's row.
CREATE TABLE forecasts (
    loop_id INTEGER NOT NULL REFERENCES loops (id),
    stage   TEXT    NOT NULL CHECK (stage IN ('generate', 'train', 'evaluate', 'feedback')),
    seconds REAL    NOT NULL CHECK (seconds >= 0),
    low_s   REAL    NOT NULL CHECK (low_s >= 0),
    high_s  REAL    NOT NULL CHECK (high_s >= low_s),
    raw_s   REAL    NOT NULL CHECK (raw_s >= 0), -- from the probe alone, before what earlier stages taught
    basis   TEXT    NOT NULL,
    made_at INTEGER NOT NULL,
    PRIMARY KEY (loop_id, stage)
) STRICT, WITHOUT ROWID;

-- A plan that waits for a person, or waited.
CREATE TABLE approvals (
    id          INTEGER PRIMARY KEY,
    decision_id INTEGER NOT NULL REFERENCES decisions (id),
    plan        TEXT    NOT NULL CHECK (json_valid(plan)),
    proposed_by TEXT    NOT NULL,
    asked_at    INTEGER NOT NULL,
    deadline_at INTEGER NOT NULL,
    answer      TEXT CHECK (answer IN ('approved', 'vetoed', 'unanswered')),
    answered_by TEXT,
    reason      TEXT,
    answered_at INTEGER,
    CHECK ((answer IS NULL) = (answered_at IS NULL))
) STRICT;
CREATE UNIQUE INDEX approvals_open ON approvals (decision_id) WHERE answer IS NULL;

-- Deadline, budgets and approvals as they were in effect when the mission began.
ALTER TABLE missions ADD COLUMN terms TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(terms));
ALTER TABLE missions ADD COLUMN ended_as TEXT CHECK (ended_as IN ('target-met', 'loops-done', 'deadline',
    'samples-used', 'dollars-used', 'no-progress', 'asked-to-end', 'stopped', 'failed'));

-- When its runner took the job up, the last time; how long it may run then; and what kind of fault ended it.
ALTER TABLE jobs ADD COLUMN claimed_at INTEGER;
ALTER TABLE jobs ADD COLUMN limit_ms INTEGER CHECK (limit_ms > 0);
ALTER TABLE jobs ADD COLUMN fault TEXT CHECK (fault IN ('diverged', 'empty-data', 'expert-gate', 'certificate',
    'disk-full', 'overdue', 'nothing-fits', 'crashed', 'other'));

-- Why a checkpoint may not be used any more: it failed its certificate.
ALTER TABLE checkpoints ADD COLUMN refused TEXT;
