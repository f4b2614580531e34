-- The journal: the log of record. Rows are written by services/touchpoint/journal.py alone.
CREATE SCHEMA journal;

-- Where the journal ends. One row; positions are drawn from it under the append lock, so that they are
-- dense and in commit order. A sequence would leave holes when a transaction rolls back.
CREATE TABLE journal.head (
    singleton   boolean     NOT NULL DEFAULT true,
    journal_id  uuid        NOT NULL,
    position    bigint      NOT NULL,
    recorded_at timestamptz NOT NULL,
    CONSTRAINT head_pkey PRIMARY KEY (singleton),
    CONSTRAINT head_is_one_row CHECK (singleton)
);
COMMENT ON TABLE journal.head IS 'Where the journal ends: one row.';
COMMENT ON COLUMN journal.head.journal_id IS 'Changes when the journal is restored from a backup.';
COMMENT ON COLUMN journal.head.recorded_at IS 'recorded_at of the last event; the next one is never before it.';
INSERT INTO journal.head (journal_id, position, recorded_at)
VALUES (gen_random_uuid(), 0, clock_timestamp());

-- The first five columns are those of the eventsourcing library's application table, so that its readers
-- and mappers work on it. notification_id has no default: the library's own writer, which would bypass the
-- head, is refused by NOT NULL.
CREATE TABLE journal.stored_events (
    originator_id      uuid        NOT NULL,
    originator_version bigint      NOT NULL,
    topic              text        NOT NULL,
    state              bytea       NOT NULL,
    notification_id    bigint      NOT NULL,
    tenant             text        NOT NULL,
    source             text        NOT NULL,
    recorded_at        timestamptz NOT NULL,
    received_at        timestamptz,
    sent_at            timestamptz,
    content_digest     bytea       NOT NULL,
    state_digest       bytea       NOT NULL,
    traceparent        text        NOT NULL DEFAULT '',
    -- The duplicate check, without a time window: a published event is version 1 of its own stream, and
    -- originator_id is derived from tenant, source and event id.
    CONSTRAINT stored_events_pkey PRIMARY KEY (originator_id, originator_version),
    CONSTRAINT stored_events_content_digest_is_sha256 CHECK (octet_length(content_digest) = 32),
    CONSTRAINT stored_events_state_digest_is_sha256 CHECK (octet_length(state_digest) = 32)
);
-- Named as the library names it. Readers page along it.
CREATE UNIQUE INDEX stored_events_notification_id_idx ON journal.stored_events (notification_id);
COMMENT ON TABLE journal.stored_events IS 'One row for each immutable event.';
COMMENT ON COLUMN journal.stored_events.notification_id IS 'The position: dense, 1..n in commit order.';
COMMENT ON COLUMN journal.stored_events.state IS 'The event as the gateway encoded it, a serialised touchledger.v1.Event.';
COMMENT ON COLUMN journal.stored_events.recorded_at IS 'On this database''s clock, taken under the append lock.';
COMMENT ON COLUMN journal.stored_events.received_at IS 'On the gateway''s clock.';
COMMENT ON COLUMN journal.stored_events.sent_at IS 'On the source''s clock, of the attempt that was recorded.';
COMMENT ON COLUMN journal.stored_events.content_digest IS 'HMAC-SHA-256 of the event as it was published; decides whether a repeated id has the same content.';
COMMENT ON COLUMN journal.stored_events.state_digest IS 'SHA-256 of state, kept so that proofs outlive an erased state.';
COMMENT ON COLUMN journal.stored_events.traceparent IS 'W3C trace context of the publish that was recorded.';
