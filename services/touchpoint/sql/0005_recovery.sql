-- The process that opens recovery cases by itself (services/touchpoint/recovery). Decisions say what a case is; this
-- is what finds it: written with the row's other columns, and made again with them.
ALTER TABLE journal.decision_streams
    ADD COLUMN customer         text NOT NULL DEFAULT '',
    ADD COLUMN correlation_id   text NOT NULL DEFAULT '',
    ADD COLUMN failure_source   text NOT NULL DEFAULT '',
    ADD COLUMN failure_event_id text NOT NULL DEFAULT '';
COMMENT ON COLUMN journal.decision_streams.customer IS 'Of a case: the customer''s pseudonym; empty when not known.';
COMMENT ON COLUMN journal.decision_streams.correlation_id IS 'Of a case: what ties the events of its episode together; empty when nothing does.';
COMMENT ON COLUMN journal.decision_streams.failure_source IS 'Of a case: source of the event that told of the failure; empty when there is none.';
COMMENT ON COLUMN journal.decision_streams.failure_event_id IS 'Of a case: event id of the event that told of the failure; empty when there is none.';
UPDATE journal.decision_streams AS d
   SET customer = opened.said ->> 'customer', correlation_id = opened.said ->> 'correlation_id',
       failure_source = coalesce(opened.said -> 'failure' ->> 'source', ''),
       failure_event_id = coalesce(opened.said -> 'failure' ->> 'event_id', '')
  FROM (SELECT e.originator_id, convert_from(e.state, 'UTF8')::jsonb AS said
          FROM journal.decision_streams c
          JOIN journal.stored_events e ON e.originator_id = c.originator_id AND e.originator_version = 1
         WHERE c.kind = 'recovery_case') AS opened
 WHERE opened.originator_id = d.originator_id;
-- A case is looked up with each failure and each step of a recovery.
CREATE INDEX decision_streams_correlation_idx ON journal.decision_streams (tenant, correlation_id)
 WHERE correlation_id <> '';
CREATE INDEX decision_streams_customer_idx ON journal.decision_streams (tenant, customer, opened_at)
 WHERE customer <> '' AND correlation_id = '';
CREATE INDEX decision_streams_failure_idx ON journal.decision_streams (tenant, failure_source, failure_event_id)
 WHERE failure_event_id <> '';

-- How far the process is. One row; whoever works on a page of the journal holds it, and the others stand by.
-- Moved with each page: room in the page of the table keeps that cheap.
CREATE TABLE journal.recovery_progress (
    singleton boolean NOT NULL DEFAULT true,
    position  bigint  NOT NULL,
    CONSTRAINT recovery_progress_pkey PRIMARY KEY (singleton),
    CONSTRAINT recovery_progress_is_one_row CHECK (singleton)
) WITH (fillfactor = 50);
COMMENT ON TABLE journal.recovery_progress IS 'How far the recovery process has read the journal: one row.';
COMMENT ON COLUMN journal.recovery_progress.position IS 'Position of the last event that it has done with.';
-- What was recorded before this release had people to look after it.
INSERT INTO journal.recovery_progress (position) SELECT position FROM journal.head;

-- A retraction may come before what it retracts.
CREATE TABLE journal.recovery_retraction (
    tenant   text NOT NULL,
    source   text NOT NULL,
    event_id text NOT NULL,
    CONSTRAINT recovery_retraction_pkey PRIMARY KEY (tenant, source, event_id)
);
COMMENT ON TABLE journal.recovery_retraction IS 'Events that were retracted before they came: they open no case.';
