-- What concerns the data of all tenants is asked by the operator alone: the key of the gateway's own machine.

ALTER TABLE gateway.api_key
    DROP CONSTRAINT api_key_scopes_are_known,
    ADD CONSTRAINT api_key_scopes_are_known
        CHECK (scopes <@ ARRAY['publish', 'query', 'recover', 'admin', 'beacon', 'operate']);
COMMENT ON COLUMN gateway.api_key.scopes IS 'What the key allows: publish, query, recover, admin, operate; or beacon alone.';
