-- Who records which part of what gateways have queued, and what of it the journal has refused
-- (services/touchpoint/recorder).
CREATE TABLE journal.recorder (
    owner      text        NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT recorder_pkey PRIMARY KEY (owner)
);
COMMENT ON TABLE journal.recorder IS 'The processes that record, so that each takes its share of the partitions.';

CREATE TABLE journal.buffer_partition (
    partition  integer     NOT NULL,
    owner      text        NOT NULL DEFAULT '',
    token      bigint      NOT NULL DEFAULT 0,
    took_at    timestamptz,
    expires_at timestamptz NOT NULL DEFAULT '-infinity',
    CONSTRAINT buffer_partition_pkey PRIMARY KEY (partition)
);
COMMENT ON TABLE journal.buffer_partition IS 'One row for each partition of the stream, and who records it.';
COMMENT ON COLUMN journal.buffer_partition.token IS 'Drawn anew with each owner.';

CREATE TABLE journal.buffer_refused (
    number        bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    tenant        text        NOT NULL,
    source        text        NOT NULL,
    event_id      text        NOT NULL,
    -- The same thing refused again is the same row: a batch may be recorded more than once.
    digest        bytea       NOT NULL,
    code          text        NOT NULL,
    field         text        NOT NULL,
    got           text        NOT NULL,
    want          text        NOT NULL,
    -- NULL where nothing is kept: a conflict, or once the gateway has it.
    content       bytea,
    format        text        NOT NULL,
    refused_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    settled_at    timestamptz,
    quarantine_id text        NOT NULL DEFAULT '',
    CONSTRAINT buffer_refused_pkey PRIMARY KEY (number),
    CONSTRAINT buffer_refused_once UNIQUE (tenant, source, event_id, digest)
);
COMMENT ON TABLE journal.buffer_refused IS 'Events that were answered QUEUED and are not recorded, with the reason.';
-- What gateways still have to put into quarantine.
CREATE INDEX buffer_refused_open ON journal.buffer_refused (number) WHERE settled_at IS NULL;
