-- What a source sent in good faith, and what broke a rule that a person can mend.
CREATE TABLE gateway.quarantine (
    tenant             text        NOT NULL,
    quarantine_id      text        NOT NULL,
    source             text        NOT NULL,
    event_id           text        NOT NULL,
    trust              smallint    NOT NULL,
    format             text        NOT NULL,
    content            bytea,
    content_bytes      integer     NOT NULL,
    code               text        NOT NULL,
    field              text        NOT NULL,
    got                text        NOT NULL,
    want               text        NOT NULL,
    received_at        timestamptz NOT NULL,
    sent_at            timestamptz,
    last_received_at   timestamptz NOT NULL,
    times_received     bigint      NOT NULL,
    status             text        NOT NULL DEFAULT 'open',
    resolved_at        timestamptz,
    reason             text        NOT NULL DEFAULT '',
    journal_id         text,
    position           bigint,
    -- The id is a digest of tenant, source, event id and content: what comes again is found by it.
    CONSTRAINT quarantine_pkey PRIMARY KEY (tenant, quarantine_id),
    CONSTRAINT quarantine_status_is_known CHECK (status IN ('open', 'released', 'discarded')),
    CONSTRAINT quarantine_is_resolved_or_open CHECK ((status = 'open') = (resolved_at IS NULL)),
    -- One that was discarded while its event was recorded is released without content.
    CONSTRAINT quarantine_discarded_has_no_content CHECK (
        CASE status WHEN 'open' THEN content IS NOT NULL WHEN 'discarded' THEN content IS NULL ELSE true END),
    CONSTRAINT quarantine_released_is_recorded CHECK ((status = 'released') = (position IS NOT NULL))
);
-- Pages of one status, the youngest first.
CREATE INDEX quarantine_by_age ON gateway.quarantine (tenant, status, received_at, quarantine_id);
-- What is kept for too long, of every tenant.
CREATE INDEX quarantine_open_since ON gateway.quarantine (received_at) WHERE status = 'open';
CREATE INDEX quarantine_resolved_since ON gateway.quarantine (resolved_at) WHERE status <> 'open';
COMMENT ON TABLE gateway.quarantine IS 'Events that broke a rule which a person can mend, until one does.';
COMMENT ON COLUMN gateway.quarantine.tenant IS 'Whose event it is.';
COMMENT ON COLUMN gateway.quarantine.quarantine_id IS 'Keyed digest of tenant, source, event id and content.';
COMMENT ON COLUMN gateway.quarantine.source IS 'Who sent it, and on whose behalf it is replayed.';
COMMENT ON COLUMN gateway.quarantine.event_id IS 'The event id that it came with, or that it was mended with first.';
COMMENT ON COLUMN gateway.quarantine.trust IS 'touchledger.v1.Trust of the source when it came.';
COMMENT ON COLUMN gateway.quarantine.format IS 'What the content is: event, event_json, or an adapter''s name.';
COMMENT ON COLUMN gateway.quarantine.content IS 'The bytes that came, sealed; NULL once it was discarded.';
COMMENT ON COLUMN gateway.quarantine.content_bytes IS 'How many there were.';
COMMENT ON COLUMN gateway.quarantine.code IS 'Problem.code: which rule it broke.';
COMMENT ON COLUMN gateway.quarantine.field IS 'Problem.field.';
COMMENT ON COLUMN gateway.quarantine.got IS 'Problem.got.';
COMMENT ON COLUMN gateway.quarantine.want IS 'Problem.want.';
COMMENT ON COLUMN gateway.quarantine.received_at IS 'When it came first.';
COMMENT ON COLUMN gateway.quarantine.sent_at IS 'The source''s clock when it sent it first, where it said so.';
COMMENT ON COLUMN gateway.quarantine.last_received_at IS 'When it came last.';
COMMENT ON COLUMN gateway.quarantine.times_received IS 'How often it came.';
COMMENT ON COLUMN gateway.quarantine.status IS 'open, released (its event is in the journal), discarded.';
COMMENT ON COLUMN gateway.quarantine.resolved_at IS 'When it was released or discarded.';
COMMENT ON COLUMN gateway.quarantine.reason IS 'Why it was discarded.';
COMMENT ON COLUMN gateway.quarantine.journal_id IS 'The journal that its event is in, once released.';
COMMENT ON COLUMN gateway.quarantine.position IS 'Where its event is, once released.';

-- How much of each tenant is open: the bound is checked without counting, and its row is the tenant's lock.
CREATE TABLE gateway.quarantine_use (
    tenant  text   NOT NULL,
    entries bigint NOT NULL DEFAULT 0,
    bytes   bigint NOT NULL DEFAULT 0,
    CONSTRAINT quarantine_use_pkey PRIMARY KEY (tenant),
    CONSTRAINT quarantine_use_is_not_negative CHECK (entries >= 0 AND bytes >= 0)
);
COMMENT ON TABLE gateway.quarantine_use IS 'How many entries of a tenant are open, and their size.';
COMMENT ON COLUMN gateway.quarantine_use.tenant IS 'Whose.';
COMMENT ON COLUMN gateway.quarantine_use.entries IS 'Open entries.';
COMMENT ON COLUMN gateway.quarantine_use.bytes IS 'Their content_bytes together.';
