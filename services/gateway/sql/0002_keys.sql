-- What a key allows beyond publish and query, and how much of it. A gateway of the release before goes on
-- with what it knows: it admits by publish and query alone, and makes its local key with the defaults.
ALTER TABLE gateway.api_key
    ADD COLUMN trust             smallint NOT NULL DEFAULT 2,
    ADD COLUMN origins           text[]   NOT NULL DEFAULT '{}',
    ADD COLUMN expires_at        timestamptz,
    ADD COLUMN events_per_second bigint   NOT NULL DEFAULT 0,
    ADD COLUMN burst_events      bigint   NOT NULL DEFAULT 0,
    ADD COLUMN bytes_per_second  bigint   NOT NULL DEFAULT 0,
    ADD COLUMN concurrent_calls  bigint   NOT NULL DEFAULT 0,
    ADD COLUMN events_per_day    bigint   NOT NULL DEFAULT 0,
    DROP CONSTRAINT api_key_scopes_are_known,
    ADD CONSTRAINT api_key_scopes_are_known
        CHECK (scopes <@ ARRAY['publish', 'query', 'recover', 'admin', 'beacon']),
    -- Whoever sees a web page sees its key: it must open nothing else, and tell nothing.
    ADD CONSTRAINT api_key_beacon_stands_alone
        CHECK (NOT ('beacon' = ANY (scopes)) OR scopes = ARRAY['beacon']),
    ADD CONSTRAINT api_key_limits_are_not_negative
        CHECK (least(events_per_second, burst_events, bytes_per_second, concurrent_calls, events_per_day) >= 0);

-- Lists and counts keys of a tenant or of one of its sources.
CREATE INDEX api_key_tenant_source ON gateway.api_key (tenant, source);

COMMENT ON COLUMN gateway.api_key.scopes IS 'What the key allows: publish, query, recover, admin; or beacon alone.';
COMMENT ON COLUMN gateway.api_key.trust IS 'How far the source can be relied on: a value of touchledger.v1.Trust.';
COMMENT ON COLUMN gateway.api_key.origins IS 'The web origins that a beacon key may be used from.';
COMMENT ON COLUMN gateway.api_key.expires_at IS 'From when on it opens nothing, decided when it was made; NULL is never.';
COMMENT ON COLUMN gateway.api_key.events_per_second IS 'Events a second for long; 0 is the default of the gateway.';
COMMENT ON COLUMN gateway.api_key.burst_events IS 'Events at once beyond that; 0 is the default of the gateway.';
COMMENT ON COLUMN gateway.api_key.bytes_per_second IS 'Bytes a second for long; 0 is the default of the gateway.';
COMMENT ON COLUMN gateway.api_key.concurrent_calls IS 'Calls at the same time; 0 is the default of the gateway.';
COMMENT ON COLUMN gateway.api_key.events_per_day IS 'Events of a UTC day; 0 is the default of the gateway.';

CREATE TABLE gateway.quota_use (
    day    date   NOT NULL,
    tenant text   NOT NULL,
    key_id text   NOT NULL,
    events bigint NOT NULL,
    -- The day leads: old days are deleted together.
    CONSTRAINT quota_use_pkey PRIMARY KEY (day, tenant, key_id)
);
COMMENT ON TABLE gateway.quota_use IS 'Events published on a UTC day, where a quota is set; each gateway adds its own every few seconds.';
COMMENT ON COLUMN gateway.quota_use.day IS 'The UTC day.';
COMMENT ON COLUMN gateway.quota_use.tenant IS 'Whose events they were.';
COMMENT ON COLUMN gateway.quota_use.key_id IS 'The key that they were published with; empty for all of the tenant.';
COMMENT ON COLUMN gateway.quota_use.events IS 'How many.';
