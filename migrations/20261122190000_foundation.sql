-- The whole first schema. Moments are Unix milliseconds (UTC), money is billionths of a dollar, JSON is TEXT.
-- Names in CHECKs are the `as_str` names of the enums in `base` and `store`.

-- Missions and loops ---------------------------------------------------------------------------------------

CREATE TABLE missions (
    id             INTEGER PRIMARY KEY,
    preset         TEXT    NOT NULL,
    goal           TEXT    NOT NULL,
    planned_loops  INTEGER NOT NULL CHECK (planned_loops >= 0),
    target_success REAL    NOT NULL,
    seed           INTEGER NOT NULL, -- the bits of an unsigned 64-bit number
    state          TEXT    NOT NULL CHECK (state IN ('running', 'paused', 'completed', 'stopped', 'failed')),
    ending         TEXT,
    settings       TEXT    NOT NULL CHECK (json_valid(settings)),
    versions       TEXT    NOT NULL CHECK (json_valid(versions)),
    created_at     INTEGER NOT NULL,
    ended_at       INTEGER
) STRICT;

CREATE TABLE loops (
    id          INTEGER PRIMARY KEY,
    mission_id  INTEGER NOT NULL REFERENCES missions (id),
    number      INTEGER NOT NULL CHECK (number >= 1),
    ending      TEXT CHECK (ending IN ('completed', 'stopped', 'failed')),
    ending_note TEXT,
    opened_at   INTEGER NOT NULL,
    closed_at   INTEGER,
    UNIQUE (mission_id, number),
    CHECK ((ending IS NULL) = (closed_at IS NULL))
) STRICT;

CREATE TABLE loop_events (
    loop_id     INTEGER NOT NULL REFERENCES loops (id),
    number      INTEGER NOT NULL CHECK (number >= 0), -- position in the loop's log, without gaps
    event       TEXT    NOT NULL CHECK (json_valid(event)),
    appended_at INTEGER NOT NULL,
    PRIMARY KEY (loop_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE decisions (
    id          INTEGER PRIMARY KEY,
    loop_id     INTEGER NOT NULL REFERENCES loops (id),
    stage       TEXT    NOT NULL CHECK (stage IN ('generate', 'train', 'evaluate', 'feedback')),
    persona     TEXT    NOT NULL CHECK (persona IN ('watcher', 'domain-expert', 'developer', 'training', 'evaluation')),
    evidence    TEXT    NOT NULL CHECK (json_valid(evidence)),
    proposal    TEXT CHECK (json_valid(proposal)),
    proposed_by TEXT,
    refusal     TEXT,
    plan        TEXT CHECK (json_valid(plan)),
    decided_by  TEXT,
    asked_at    INTEGER NOT NULL,
    deadline_at INTEGER NOT NULL,
    decided_at  INTEGER,
    UNIQUE (loop_id, stage),
    CHECK ((plan IS NULL) = (decided_at IS NULL))
) STRICT;
CREATE INDEX decisions_open ON decisions (id) WHERE decided_at IS NULL;

-- Jobs -----------------------------------------------------------------------------------------------------

CREATE TABLE jobs (
    id               INTEGER PRIMARY KEY,
    kind             TEXT    NOT NULL CHECK (kind IN ('generate', 'train', 'evaluate', 'feedback')),
    spec             TEXT    NOT NULL CHECK (json_valid(spec)),
    key              TEXT    NOT NULL UNIQUE,
    owner            TEXT    NOT NULL,
    loop_id          INTEGER REFERENCES loops (id),
    stage            TEXT CHECK (stage IN ('generate', 'train', 'evaluate', 'feedback')),
    state            TEXT    NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    worker           TEXT,
    attempts         INTEGER NOT NULL DEFAULT 0,
    lease_until      INTEGER,
    done             INTEGER NOT NULL DEFAULT 0,
    total            INTEGER NOT NULL DEFAULT 0,
    unit             TEXT    NOT NULL DEFAULT '',
    note             TEXT    NOT NULL DEFAULT '',
    progress_at      INTEGER,
    result           TEXT CHECK (json_valid(result)),
    error            TEXT,
    cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
    created_at       INTEGER NOT NULL,
    started_at       INTEGER,
    finished_at      INTEGER,
    CHECK ((state = 'running') = (lease_until IS NOT NULL)),
    CHECK ((state = 'running') = (worker IS NOT NULL)),
    CHECK ((state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL))
) STRICT;
CREATE INDEX jobs_open ON jobs (id) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_of_loop ON jobs (loop_id);

-- What the work made ---------------------------------------------------------------------------------------

CREATE TABLE artifacts (
    id         TEXT PRIMARY KEY,
    kind       TEXT    NOT NULL,
    bytes      INTEGER NOT NULL CHECK (bytes >= 0),
    producer   TEXT    NOT NULL,
    provenance TEXT    NOT NULL CHECK (json_valid(provenance)),
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE datasets (
    id         INTEGER PRIMARY KEY,
    loop_id    INTEGER REFERENCES loops (id),
    job_id     INTEGER REFERENCES jobs (id),
    artifact   TEXT    NOT NULL,
    path       TEXT    NOT NULL,
    episodes   INTEGER NOT NULL CHECK (episodes >= 0),
    frames     INTEGER NOT NULL CHECK (frames >= 0),
    samples    INTEGER NOT NULL CHECK (samples >= 0),
    strategy   TEXT    NOT NULL,
    summary    TEXT    NOT NULL CHECK (json_valid(summary)),
    created_at INTEGER NOT NULL,
    -- Equal seeds make equal artefacts: each job has a row of its own.
    UNIQUE (job_id, artifact)
) STRICT;

CREATE TABLE checkpoints (
    id             INTEGER PRIMARY KEY,
    loop_id        INTEGER REFERENCES loops (id),
    job_id         INTEGER REFERENCES jobs (id),
    parent         INTEGER REFERENCES checkpoints (id),
    artifact       TEXT    NOT NULL,
    path           TEXT    NOT NULL,
    samples_seen   INTEGER NOT NULL CHECK (samples_seen >= 0),
    final_loss     REAL    NOT NULL,
    summary        TEXT    NOT NULL CHECK (json_valid(summary)),
    champion_since INTEGER,
    created_at     INTEGER NOT NULL,
    -- Equal seeds make equal artefacts: each job has a row of its own.
    UNIQUE (job_id, artifact)
) STRICT;
-- At most one champion: every champion has the same value under this index.
CREATE UNIQUE INDEX checkpoints_champion ON checkpoints (champion_since IS NOT NULL) WHERE champion_since IS NOT NULL;

CREATE TABLE training_points (
    job_id  INTEGER NOT NULL REFERENCES jobs (id),
    samples INTEGER NOT NULL CHECK (samples >= 0),
    loss    REAL    NOT NULL,
    lr      REAL    NOT NULL,
    PRIMARY KEY (job_id, samples)
) STRICT, WITHOUT ROWID;

CREATE TABLE evaluations (
    id               INTEGER PRIMARY KEY,
    key              TEXT    NOT NULL UNIQUE,
    kind             TEXT    NOT NULL CHECK (kind IN ('canary', 'loop', 'ad-hoc')),
    loop_id          INTEGER REFERENCES loops (id),
    job_id           INTEGER REFERENCES jobs (id),
    checkpoint_id    INTEGER REFERENCES checkpoints (id),
    samples_seen     INTEGER NOT NULL CHECK (samples_seen >= 0),
    execute_steps    INTEGER NOT NULL CHECK (execute_steps >= 0),
    scenes_solved    INTEGER NOT NULL,
    scenes_tried     INTEGER NOT NULL,
    bricks_delivered INTEGER NOT NULL,
    bricks_given     INTEGER NOT NULL,
    summary          TEXT    NOT NULL CHECK (json_valid(summary)),
    created_at       INTEGER NOT NULL,
    CHECK (scenes_solved BETWEEN 0 AND scenes_tried),
    CHECK (bricks_delivered BETWEEN 0 AND bricks_given)
) STRICT;
CREATE INDEX evaluations_of_loop ON evaluations (loop_id);

CREATE TABLE evaluation_scenes (
    evaluation_id INTEGER NOT NULL REFERENCES evaluations (id),
    scene         INTEGER NOT NULL,
    family        TEXT    NOT NULL,
    success       INTEGER NOT NULL CHECK (success IN (0, 1)),
    bricks        INTEGER NOT NULL,
    delivered     INTEGER NOT NULL,
    steps         INTEGER NOT NULL,
    failure       TEXT,
    x_m           REAL    NOT NULL,
    z_m           REAL    NOT NULL,
    clip          TEXT,
    PRIMARY KEY (evaluation_id, scene)
) STRICT, WITHOUT ROWID;

CREATE TABLE measurements (
    name        TEXT PRIMARY KEY,
    value       REAL    NOT NULL,
    unit        TEXT    NOT NULL,
    measured_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Agents, their mail and their turns -----------------------------------------------------------------------

CREATE TABLE agents (
    name        TEXT PRIMARY KEY,
    activity    TEXT    NOT NULL CHECK (activity IN ('starting', 'idle', 'thinking', 'using-tool', 'waiting', 'stopped')),
    doing       TEXT    NOT NULL,
    waiting_for INTEGER REFERENCES jobs (id),
    progress_at INTEGER NOT NULL,
    started_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE mail (
    id          INTEGER PRIMARY KEY,
    agent       TEXT    NOT NULL,
    kind        TEXT    NOT NULL CHECK (kind IN ('message', 'decision-asked', 'job-event', 'handoff', 'loop-event', 'order')),
    payload     TEXT    NOT NULL CHECK (json_valid(payload)),
    dedup       TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    done_at     INTEGER,
    abandoned   TEXT, -- why it was given up; NULL when it was dealt with
    UNIQUE (agent, dedup)
) STRICT;
CREATE INDEX mail_waiting ON mail (agent, id) WHERE done_at IS NULL;

CREATE TABLE turns (
    id         INTEGER PRIMARY KEY,
    agent      TEXT    NOT NULL,
    brain      TEXT    NOT NULL,
    model      TEXT    NOT NULL,
    mail_id    INTEGER REFERENCES mail (id),
    started_at INTEGER NOT NULL,
    ended_at   INTEGER,
    outcome    TEXT,
    tool_calls INTEGER NOT NULL DEFAULT 0,
    transcript TEXT    NOT NULL DEFAULT 'null' CHECK (json_valid(transcript))
) STRICT;
CREATE INDEX turns_of_agent ON turns (agent, id);

CREATE TABLE handoffs (
    id         INTEGER PRIMARY KEY,
    dedup      TEXT    NOT NULL UNIQUE,
    loop_id    INTEGER REFERENCES loops (id),
    from_agent TEXT    NOT NULL,
    to_agent   TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    payload    TEXT    NOT NULL CHECK (json_valid(payload)),
    created_at INTEGER NOT NULL
) STRICT;

-- Messages and their way to the fronts ---------------------------------------------------------------------

CREATE TABLE messages (
    id          INTEGER PRIMARY KEY,
    channel     TEXT    NOT NULL,
    author      TEXT    NOT NULL,
    author_kind TEXT    NOT NULL CHECK (author_kind IN ('agent', 'person', 'system')),
    brain       TEXT,
    text        TEXT    NOT NULL,
    attachments TEXT    NOT NULL CHECK (json_valid(attachments)),
    loop_id     INTEGER REFERENCES loops (id),
    dedup       TEXT UNIQUE,
    created_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX messages_of_channel ON messages (channel, id);

CREATE TABLE deliveries (
    front        TEXT    NOT NULL,
    message_id   INTEGER NOT NULL REFERENCES messages (id),
    external_id  TEXT, -- what the front's service calls the message
    failures     INTEGER NOT NULL DEFAULT 0,
    error        TEXT,
    delivered_at INTEGER,
    tried_at     INTEGER NOT NULL,
    PRIMARY KEY (front, message_id)
) STRICT, WITHOUT ROWID;

-- A front delivers only what is newer than its watermark: a new front does not replay history.
CREATE TABLE fronts (
    name      TEXT PRIMARY KEY,
    watermark INTEGER NOT NULL,
    seen_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Money ----------------------------------------------------------------------------------------------------

CREATE TABLE spend (
    id             INTEGER PRIMARY KEY,
    agent          TEXT    NOT NULL,
    turn_id        INTEGER REFERENCES turns (id),
    provider       TEXT    NOT NULL,
    model          TEXT    NOT NULL,
    purpose        TEXT    NOT NULL,
    state          TEXT    NOT NULL CHECK (state IN ('reserved', 'settled', 'expired')),
    reserved       INTEGER NOT NULL CHECK (reserved >= 0),
    settled        INTEGER CHECK (settled >= 0),
    uncached_input INTEGER NOT NULL DEFAULT 0,
    cache_read     INTEGER NOT NULL DEFAULT 0,
    cache_write_5m INTEGER NOT NULL DEFAULT 0,
    cache_write_1h INTEGER NOT NULL DEFAULT 0,
    output         INTEGER NOT NULL DEFAULT 0,
    price_version  TEXT    NOT NULL,
    raw_usage      TEXT CHECK (json_valid(raw_usage)),
    estimated      INTEGER NOT NULL DEFAULT 0 CHECK (estimated IN (0, 1)),
    response_id    TEXT,
    created_at     INTEGER NOT NULL,
    settled_at     INTEGER,
    CHECK ((state = 'reserved') = (settled IS NULL)),
    CHECK ((state = 'reserved') = (settled_at IS NULL))
) STRICT;
-- What a call costs against a limit: what it came to, or what is held for it.
CREATE INDEX spend_since ON spend (created_at, agent);
CREATE INDEX spend_reserved ON spend (created_at) WHERE state = 'reserved';
CREATE UNIQUE INDEX spend_response ON spend (provider, response_id) WHERE response_id IS NOT NULL;

-- Watchdog -------------------------------------------------------------------------------------------------

CREATE TABLE incidents (
    id         INTEGER PRIMARY KEY,
    subject    TEXT    NOT NULL,
    kind       TEXT    NOT NULL,
    evidence   TEXT    NOT NULL,
    noticed_at INTEGER NOT NULL,
    cured_at   INTEGER,
    cure       TEXT,
    CHECK ((cured_at IS NULL) = (cure IS NULL))
) STRICT;
CREATE UNIQUE INDEX incidents_open ON incidents (subject, kind) WHERE cured_at IS NULL;

CREATE TABLE orders (
    id          INTEGER PRIMARY KEY,
    kind        TEXT    NOT NULL,
    subject     TEXT    NOT NULL,
    payload     TEXT    NOT NULL CHECK (json_valid(payload)),
    dedup       TEXT    NOT NULL UNIQUE,
    created_at  INTEGER NOT NULL,
    finished_at INTEGER,
    outcome     TEXT
) STRICT;
CREATE INDEX orders_open ON orders (id) WHERE finished_at IS NULL;

CREATE TABLE checks (
    name       TEXT PRIMARY KEY,
    ok         INTEGER NOT NULL CHECK (ok IN (0, 1)),
    detail     TEXT    NOT NULL,
    checked_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
