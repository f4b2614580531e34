-- Who may publish and ask.
CREATE SCHEMA gateway;

CREATE TABLE gateway.api_key (
    key_id        text        NOT NULL,
    secret_digest bytea       NOT NULL,
    tenant        text        NOT NULL,
    source        text        NOT NULL,
    scopes        text[]      NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    revoked_at    timestamptz,
    CONSTRAINT api_key_pkey PRIMARY KEY (key_id),
    CONSTRAINT api_key_scopes_are_known CHECK (scopes <@ ARRAY['publish', 'query'])
);
COMMENT ON TABLE gateway.api_key IS 'API keys; the secret part is stored as a keyed hash alone.';
COMMENT ON COLUMN gateway.api_key.key_id IS 'The part of the key that may be shown.';
COMMENT ON COLUMN gateway.api_key.secret_digest IS 'HMAC-SHA-256 of the secret part.';
COMMENT ON COLUMN gateway.api_key.tenant IS 'Whose data the key opens.';
COMMENT ON COLUMN gateway.api_key.source IS 'The source that events published with it are of.';
COMMENT ON COLUMN gateway.api_key.scopes IS 'What the key allows: publish, query.';
COMMENT ON COLUMN gateway.api_key.revoked_at IS 'From when on it opens nothing.';
