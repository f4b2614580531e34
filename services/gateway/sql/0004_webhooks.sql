-- Where vendors deliver to, and what they delivered.
CREATE TABLE gateway.webhook (
    webhook_id   text        NOT NULL,
    tenant       text        NOT NULL,
    source       text        NOT NULL,
    trust        smallint    NOT NULL,
    adapter      text        NOT NULL,
    url          text        NOT NULL,
    config       text        NOT NULL,
    with_api_key boolean     NOT NULL,
    secret       bytea,
    created_at   timestamptz NOT NULL,
    deleted_at   timestamptz,
    deliveries   bigint      NOT NULL DEFAULT 0,
    empty        bigint      NOT NULL DEFAULT 0,
    recorded     bigint      NOT NULL DEFAULT 0,
    duplicates   bigint      NOT NULL DEFAULT 0,
    quarantined  bigint      NOT NULL DEFAULT 0,
    rejected     bigint      NOT NULL DEFAULT 0,
    conflicts    bigint      NOT NULL DEFAULT 0,
    CONSTRAINT webhook_pkey PRIMARY KEY (webhook_id)
);
-- Lists and counts webhooks of a tenant.
CREATE INDEX webhook_of_tenant ON gateway.webhook (tenant, created_at) WHERE deleted_at IS NULL;
-- What the sweep looks for.
CREATE INDEX webhook_deleted ON gateway.webhook (deleted_at) WHERE deleted_at IS NOT NULL;
COMMENT ON TABLE gateway.webhook IS 'Places that vendors deliver to, and what came of their deliveries.';
COMMENT ON COLUMN gateway.webhook.webhook_id IS 'Unguessable part of the address.';
COMMENT ON COLUMN gateway.webhook.tenant IS 'Whose events its deliveries become.';
COMMENT ON COLUMN gateway.webhook.source IS 'The source that its events are of.';
COMMENT ON COLUMN gateway.webhook.trust IS 'How far the source can be relied on: a value of touchledger.v1.Trust.';
COMMENT ON COLUMN gateway.webhook.adapter IS 'Verifies and reads its deliveries.';
COMMENT ON COLUMN gateway.webhook.url IS 'Where the vendor posts to, as the vendor was told it.';
COMMENT ON COLUMN gateway.webhook.config IS 'What the adapter is told, a JSON object.';
COMMENT ON COLUMN gateway.webhook.with_api_key IS 'Deliveries carry an API key instead of a signature.';
COMMENT ON COLUMN gateway.webhook.secret IS 'What signatures are verified with, sealed; NULL as long as nobody knows it.';
COMMENT ON COLUMN gateway.webhook.created_at IS 'When it was made.';
COMMENT ON COLUMN gateway.webhook.deleted_at IS 'From when on nothing is taken for it.';
COMMENT ON COLUMN gateway.webhook.deliveries IS 'Deliveries that were mapped.';
COMMENT ON COLUMN gateway.webhook.empty IS 'Deliveries that told nothing which is recorded.';
COMMENT ON COLUMN gateway.webhook.recorded IS 'Events that were new in the journal.';
COMMENT ON COLUMN gateway.webhook.duplicates IS 'Events that were in the journal.';
COMMENT ON COLUMN gateway.webhook.quarantined IS 'Events, and deliveries that could not be read, that went into quarantine.';
COMMENT ON COLUMN gateway.webhook.rejected IS 'Events that were refused for another reason than a conflict.';
COMMENT ON COLUMN gateway.webhook.conflicts IS 'Events whose id was in the journal with other content.';

CREATE TABLE gateway.delivery (
    delivery_id bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    webhook_id  text        NOT NULL,
    received_at timestamptz NOT NULL,
    content     bytea       NOT NULL,
    due_at      timestamptz,
    attempts    integer     NOT NULL DEFAULT 0,
    CONSTRAINT delivery_pkey PRIMARY KEY (delivery_id),
    -- A webhook goes after its deliveries.
    CONSTRAINT delivery_webhook_fkey FOREIGN KEY (webhook_id) REFERENCES gateway.webhook (webhook_id)
);
-- Sealed bytes can't be compressed.
ALTER TABLE gateway.delivery ALTER COLUMN content SET STORAGE EXTERNAL;
-- What is mapped next, and how much of a webhook waits.
CREATE INDEX delivery_due ON gateway.delivery (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX delivery_waiting ON gateway.delivery (webhook_id) WHERE due_at IS NOT NULL;
-- Pages of a replay; those of a deleted webhook.
CREATE INDEX delivery_of_webhook ON gateway.delivery (webhook_id, received_at, delivery_id);
-- What was kept for long enough.
CREATE INDEX delivery_by_age ON gateway.delivery (received_at) WHERE due_at IS NULL;
COMMENT ON TABLE gateway.delivery IS 'What vendors delivered, kept for a while so that it can be mapped again.';
COMMENT ON COLUMN gateway.delivery.delivery_id IS 'In the order of arrival.';
COMMENT ON COLUMN gateway.delivery.webhook_id IS 'Where it came.';
COMMENT ON COLUMN gateway.delivery.received_at IS 'When it came.';
COMMENT ON COLUMN gateway.delivery.content IS 'URL, headers and body as they came, sealed.';
COMMENT ON COLUMN gateway.delivery.due_at IS 'When it is to be mapped, or mapped again if nobody has told the outcome by then; NULL once mapped.';
COMMENT ON COLUMN gateway.delivery.attempts IS 'How often a gateway began to map it.';
