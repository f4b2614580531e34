-- The seal of the journal (services/touchpoint/seal.py), and what lists decisions without reading them all.

-- One row for each commit. Nothing of it can be left out, changed or moved without breaking the chain.
CREATE TABLE journal.seals (
    last_position  bigint      NOT NULL,
    first_position bigint      NOT NULL,
    recorded_at    timestamptz NOT NULL,
    root           bytea       NOT NULL,
    chain          bytea       NOT NULL,
    CONSTRAINT seals_pkey PRIMARY KEY (last_position)
);
COMMENT ON TABLE journal.seals IS 'One row for each commit of events, in a chain of hashes.';
COMMENT ON COLUMN journal.seals.root IS 'Merkle root over the leaves of the commit''s events.';
COMMENT ON COLUMN journal.seals.chain IS 'Hash over the chain before, the positions, recorded_at and root.';

-- Rows never change: what a vacuum looks at is frozen at once, instead of being read and written again for it later.
ALTER TABLE journal.stored_events SET (autovacuum_freeze_min_age = 0);

ALTER TABLE journal.head ADD COLUMN chain bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex');
COMMENT ON COLUMN journal.head.chain IS 'The chain of the last seal; 32 zero bytes before the first.';

-- What a release without a seal has stored is sealed by the first start of this one (unsealed.py), and only then: a
-- chain that is lost later is an alarm and nothing to make anew.
ALTER TABLE journal.head ADD COLUMN to_seal boolean NOT NULL DEFAULT false;
UPDATE journal.head SET to_seal = position > 0;
COMMENT ON COLUMN journal.head.to_seal IS 'The events of an earlier release are still to be sealed.';

-- A service of a release without a seal, which may still run beside this one, can't append any more.
CREATE FUNCTION journal.refuse_unsealed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE 'journal: got events without a seal, want a touchpoint service that seals what it stores'
        USING ERRCODE = 'data_corrupted';
END
$$;
CREATE TRIGGER head_refuse_unsealed BEFORE UPDATE ON journal.head FOR EACH ROW
    WHEN (NEW.position <> OLD.position AND NEW.chain = OLD.chain) EXECUTE FUNCTION journal.refuse_unsealed();

-- Waits for its turn to append and then tells where the journal ends. VOLATILE, so that the second statement
-- takes its snapshot after the wait of the first. Under this lock positions commit in order: a reader that
-- has read 7 never looks for 6 again. Advisory rather than LOCK TABLE, which would collide with VACUUM. The
-- number is any that nothing else in the database locks. Time and position agree in order, whatever the
-- clock does.
CREATE FUNCTION journal.take_turn(OUT journal_id uuid, OUT "position" bigint, OUT recorded_at timestamptz, OUT chain bytea)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7310114002);
    SELECT head.journal_id, head.position, greatest(clock_timestamp(), head.recorded_at), head.chain
      INTO take_turn.journal_id, take_turn.position, take_turn.recorded_at, take_turn.chain
      FROM journal.head;
    IF take_turn.position > 0 AND take_turn.chain = decode(repeat('00', 32), 'hex') THEN
        RAISE 'journal: got events without a chain, want the start of a touchpoint service to seal what an earlier release stored, or the chain back'
            USING ERRCODE = 'data_corrupted';
    END IF;
END
$$;

-- Moves the head to the end of what the transaction has stored, and seals it.
CREATE PROCEDURE journal.seal(first_position bigint, last_position bigint, recorded_at timestamptz, root bytea, chain bytea)
LANGUAGE sql AS $$
    UPDATE journal.head SET position = seal.last_position, recorded_at = seal.recorded_at, chain = seal.chain;
    INSERT INTO journal.seals (last_position, first_position, recorded_at, root, chain)
    VALUES (seal.last_position, seal.first_position, seal.recorded_at, seal.root, seal.chain);
$$;

-- A small commit in one round trip: takes the turn, stores the rows at the next positions in their order,
-- moves the head and seals. `root` is over the leaves of exactly these rows. COPY is faster for many rows.
CREATE FUNCTION journal.append(
    expected_journal_id uuid, root bytea,
    tenants text[], sources text[], received timestamptz[], sent timestamptz[], traceparents text[],
    originator_ids uuid[], versions bigint[], topics text[],
    content_digests bytea[], state_digests bytea[], states bytea[],
    OUT journal_id uuid, OUT first_position bigint
)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    head record;
    last_position bigint;
BEGIN
    head := journal.take_turn();
    append.journal_id := head.journal_id;
    IF head.journal_id <> expected_journal_id THEN
        RETURN;
    END IF;
    first_position := head.position + 1;
    last_position := head.position + cardinality(originator_ids);
    INSERT INTO journal.stored_events
        (notification_id, recorded_at, tenant, source, received_at, sent_at, traceparent,
         originator_id, originator_version, topic, content_digest, state_digest, state)
    SELECT head.position + row.number, head.recorded_at, row.tenant, row.source, row.received_at, row.sent_at,
           row.traceparent, row.originator_id, row.version, row.topic, row.content_digest, row.state_digest, row.state
      FROM unnest(tenants, sources, received, sent, traceparents, originator_ids, versions, topics,
                  content_digests, state_digests, states)
           WITH ORDINALITY AS row (tenant, source, received_at, sent_at, traceparent, originator_id, version,
                                   topic, content_digest, state_digest, state, number);
    CALL journal.seal(
        first_position, last_position, head.recorded_at, root,
        sha256('\x02'::bytea || head.chain || int8send(first_position) || int8send(last_position)
               || timestamptz_send(head.recorded_at) || root)
    );
END
$$;
