-- Rows of money from which the cost can be derived again, running totals for the budgets, holds, overrides, versions of
-- the price list, rates of machines, and what providers say they billed.

ALTER TABLE spend ADD COLUMN api TEXT CHECK (api IN ('responses', 'chat', 'messages'));
ALTER TABLE spend ADD COLUMN tier TEXT;
ALTER TABLE spend ADD COLUMN web_searches INTEGER NOT NULL DEFAULT 0 CHECK (web_searches >= 0);
ALTER TABLE spend ADD COLUMN fees INTEGER NOT NULL DEFAULT 0 CHECK (fees >= 0); -- the part of `settled` that is no tokens
ALTER TABLE spend ADD COLUMN estimate_input INTEGER; -- what `reserved` was computed from
ALTER TABLE spend ADD COLUMN max_output INTEGER;
-- Which windows the row counts in.
ALTER TABLE spend ADD COLUMN day TEXT; -- the calendar day in the budgets' zone
ALTER TABLE spend ADD COLUMN mission_id INTEGER REFERENCES missions (id);
ALTER TABLE spend ADD COLUMN loop_id INTEGER REFERENCES loops (id);
ALTER TABLE spend ADD COLUMN stage TEXT CHECK (stage IN ('generate', 'train', 'evaluate', 'feedback'));

UPDATE spend SET
    day = date(created_at / 1000, 'unixepoch'),
    loop_id = (SELECT id FROM loops WHERE opened_at <= spend.created_at
        AND (closed_at IS NULL OR spend.created_at < closed_at) ORDER BY id DESC LIMIT 1),
    mission_id = (SELECT id FROM missions WHERE created_at <= spend.created_at
        AND (ended_at IS NULL OR spend.created_at < ended_at) ORDER BY id DESC LIMIT 1);
CREATE INDEX spend_of_loop ON spend (loop_id);

-- What counts in each window: booked, and held for calls that run. Triggers keep it, so it is true whatever wrote the
-- row; `ralphton cost audit` compares it with the rows.
CREATE TABLE spend_totals (
    scope  TEXT    NOT NULL CHECK (scope IN ('team-day', 'agent-day', 'loop', 'mission')),
    name   TEXT    NOT NULL, -- '2026-11-24', 'watcher 2026-11-24', '7', '3'
    spent  INTEGER NOT NULL,
    warned INTEGER NOT NULL DEFAULT 0, -- percent of its budget that people were told of
    PRIMARY KEY (scope, name)
) STRICT, WITHOUT ROWID;

INSERT INTO spend_totals (scope, name, spent)
    SELECT 'team-day', day, sum(coalesce(settled, reserved)) FROM spend GROUP BY day
    UNION ALL SELECT 'agent-day', agent || ' ' || day, sum(coalesce(settled, reserved)) FROM spend GROUP BY agent, day
    UNION ALL SELECT 'loop', CAST(loop_id AS TEXT), sum(coalesce(settled, reserved)) FROM spend
        WHERE loop_id IS NOT NULL GROUP BY loop_id
    UNION ALL SELECT 'mission', CAST(mission_id AS TEXT), sum(coalesce(settled, reserved)) FROM spend
        WHERE mission_id IS NOT NULL GROUP BY mission_id;

CREATE TRIGGER spend_is_counted AFTER INSERT ON spend WHEN coalesce(NEW.settled, NEW.reserved) <> 0
BEGIN
    INSERT INTO spend_totals (scope, name, spent)
        SELECT 'team-day', NEW.day, coalesce(NEW.settled, NEW.reserved) WHERE NEW.day IS NOT NULL
        UNION ALL SELECT 'agent-day', NEW.agent || ' ' || NEW.day, coalesce(NEW.settled, NEW.reserved) WHERE NEW.day IS NOT NULL
        UNION ALL SELECT 'loop', CAST(NEW.loop_id AS TEXT), coalesce(NEW.settled, NEW.reserved) WHERE NEW.loop_id IS NOT NULL
        UNION ALL SELECT 'mission', CAST(NEW.mission_id AS TEXT), coalesce(NEW.settled, NEW.reserved) WHERE NEW.mission_id IS NOT NULL
        ON CONFLICT (scope, name) DO UPDATE SET spent = spent + excluded.spent;
END;

CREATE TRIGGER spend_is_recounted AFTER UPDATE OF settled ON spend
    WHEN coalesce(NEW.settled, NEW.reserved) <> coalesce(OLD.settled, OLD.reserved)
BEGIN
    UPDATE spend_totals
        SET spent = spent + coalesce(NEW.settled, NEW.reserved) - coalesce(OLD.settled, OLD.reserved)
    WHERE (scope = 'team-day' AND name = NEW.day)
        OR (scope = 'agent-day' AND name = NEW.agent || ' ' || NEW.day)
        OR (scope = 'loop' AND name = CAST(NEW.loop_id AS TEXT))
        OR (scope = 'mission' AND name = CAST(NEW.mission_id AS TEXT));
END;

-- After a refusal an agent makes no further call until a person, the configuration or the window changes it.
CREATE TABLE holds (
    id          INTEGER PRIMARY KEY,
    agent       TEXT    NOT NULL,
    source      TEXT    NOT NULL, -- the configuration's key
    window      TEXT    NOT NULL, -- 'day 2026-11-24', 'loop 7', 'mission 3', 'call'
    amount      INTEGER NOT NULL, -- the budget when it refused
    spent       INTEGER NOT NULL,
    wanted      INTEGER NOT NULL,
    held_at     INTEGER NOT NULL,
    released_at INTEGER,
    released_by TEXT,
    CHECK ((released_at IS NULL) = (released_by IS NULL))
) STRICT;
CREATE UNIQUE INDEX holds_open ON holds (agent) WHERE released_at IS NULL;

-- What people set in place of the configuration. The newest row of a key holds; NULL gives it back to the configuration.
CREATE TABLE budget_overrides (
    id     INTEGER PRIMARY KEY,
    key    TEXT    NOT NULL,
    amount INTEGER CHECK (amount >= 0),
    set_by TEXT    NOT NULL,
    set_at INTEGER NOT NULL
) STRICT;
CREATE INDEX budget_overrides_of_key ON budget_overrides (key, id);

-- Every price list that a row was priced with.
CREATE TABLE price_books (
    version TEXT PRIMARY KEY,
    content TEXT    NOT NULL CHECK (json_valid(content)),
    kept_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What the machines cost an hour, from a moment on.
CREATE TABLE machine_rates (
    since   INTEGER PRIMARY KEY,
    content TEXT NOT NULL CHECK (json_valid(content))
) STRICT;

-- What a provider says it counted or billed on a UTC day.
CREATE TABLE provider_bills (
    provider       TEXT    NOT NULL,
    kind           TEXT    NOT NULL CHECK (kind IN ('usage', 'cost')),
    day            TEXT    NOT NULL,
    model          TEXT    NOT NULL, -- '' where the provider does not say
    tier           TEXT    NOT NULL,
    us_inference   INTEGER NOT NULL DEFAULT 0 CHECK (us_inference IN (0, 1)),
    requests       INTEGER NOT NULL DEFAULT 0,
    uncached_input INTEGER NOT NULL DEFAULT 0,
    cache_read     INTEGER NOT NULL DEFAULT 0,
    cache_write_5m INTEGER NOT NULL DEFAULT 0,
    cache_write_1h INTEGER NOT NULL DEFAULT 0,
    output         INTEGER NOT NULL DEFAULT 0,
    web_searches   INTEGER NOT NULL DEFAULT 0,
    amount         INTEGER, -- what it billed; NULL in usage
    file           TEXT    NOT NULL,
    imported_at    INTEGER NOT NULL,
    PRIMARY KEY (provider, kind, day, model, tier, us_inference)
) STRICT, WITHOUT ROWID;
