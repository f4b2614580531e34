-- What lists decisions without reading them all. Written in the transaction of the events that it follows from,
-- and can be made again from them (services/touchpoint/decisions/listing.py).
CREATE TABLE journal.decision_streams (
    tenant        text             NOT NULL,
    kind          text             NOT NULL,
    -- In the order of its bytes, which is the same on every server; so are pages.
    name          text COLLATE "C" NOT NULL,
    originator_id uuid             NOT NULL,
    version       bigint           NOT NULL,
    status        text             NOT NULL,
    touchpoint    text             NOT NULL,
    owner         text             NOT NULL,
    opened_at     timestamptz      NOT NULL,
    decided_at    timestamptz      NOT NULL,
    CONSTRAINT decision_streams_pkey PRIMARY KEY (tenant, kind, name)
);
-- The filters of the lists. A touchpoint or an owner has few streams, whose status is looked at one by one.
CREATE INDEX decision_streams_status_idx ON journal.decision_streams (tenant, kind, status, name);
CREATE INDEX decision_streams_touchpoint_idx ON journal.decision_streams (tenant, kind, touchpoint, name);
CREATE INDEX decision_streams_owner_idx ON journal.decision_streams (tenant, kind, owner, name);
COMMENT ON TABLE journal.decision_streams IS 'One row for each touchpoint definition and recovery case: how its stream of decisions ended.';
COMMENT ON COLUMN journal.decision_streams.kind IS 'touchpoint_definition or recovery_case.';
COMMENT ON COLUMN journal.decision_streams.name IS 'The touchpoint or the case id; stream and name are one to one within tenant and kind.';
COMMENT ON COLUMN journal.decision_streams.version IS 'The last one of the stream.';
COMMENT ON COLUMN journal.decision_streams.owner IS 'Who answers for it: a touchpoint''s owner, a case''s assignee; empty when nobody.';
COMMENT ON COLUMN journal.decision_streams.opened_at IS 'When the first decision was taken, on the service''s clock.';
COMMENT ON COLUMN journal.decision_streams.decided_at IS 'When the last decision was taken.';

COMMENT ON COLUMN journal.stored_events.state IS 'The event as the gateway encoded it, a serialised touchledger.v1.Event; of a decision, JSON.';
COMMENT ON COLUMN journal.stored_events.source IS 'The system that published it; touchledger where a decision was taken here.';
COMMENT ON COLUMN journal.stored_events.content_digest IS 'HMAC-SHA-256 of the event as it was published; decides whether a repeated id has the same content. Of a decision, SHA-256 of state.';
