-- Turns journal.stored_events into partitions by time while the service goes on. No migration: an operator runs it,
-- as the owner of the table, when the journal gets large (docs/growth.md says when and how). This file only makes the
-- functions; then, each as a statement of its own:
--
--     SELECT journal.set_apart('2027-01-01+00', '2050-01-01+00');
--     ALTER TABLE journal.stored_events VALIDATE CONSTRAINT stored_events_outside;
--     SELECT journal.become_partitions();
--     SELECT journal.cut_last_partition('2027-02-01+00');
--
-- The ranges are of originator_id, since the primary key is the duplicate check and a partitioned table's key must hold
-- the partition's column. An id made from a UUIDv7 begins with its time. Others are hashes, anywhere: the table as it is
-- becomes the default partition, for them and for all times outside, and none of its rows is written again.
--
-- Indexes of partitions are named as the service knows them: stored_events_…_pkey and stored_events_…_notification_id_idx
-- (appender.py). Whoever makes a partition by hand must keep to that.

-- The smallest originator_id of a time: 48 bits of milliseconds, as in a UUIDv7.
CREATE OR REPLACE FUNCTION journal.originator_id_at(moment timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

CREATE OR REPLACE FUNCTION journal.partition_from(moment timestamptz) RETURNS name
LANGUAGE plpgsql STRICT AS $$
BEGIN
    IF moment <> date_trunc('day', moment, 'UTC') THEN
        RAISE 'partition: got %, want midnight UTC', moment;
    END IF;
    RETURN 'stored_events_from_' || to_char(moment AT TIME ZONE 'UTC', 'YYYY_MM_DD');
END
$$;

-- Whoever else made the new tables would own them, and the service could not write to them.
CREATE OR REPLACE FUNCTION journal.want_owner_of_events() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    owner name := (SELECT tableowner FROM pg_tables WHERE schemaname = 'journal' AND tablename = 'stored_events');
BEGIN
    IF current_user <> owner THEN
        RAISE 'partition: got user %, want the table''s owner: SET ROLE %', current_user, quote_ident(owner);
    END IF;
END
$$;

-- Gives the times from `first` to `until` a table of their own, which goes on to be read as part of the events, and
-- lets a constraint say that they are nowhere else. `first` lies ahead, so that few ids are in the range: those of
-- clocks that are ahead, and of the hashes so many as the range is wide, 0.26 % for 23 years. They are moved: else the
-- key of the new table would not see them, and a duplicate would be stored. Returns how many.
-- Locks the table against readers and writers for as long as the moving takes; gives up when it has to wait.
CREATE OR REPLACE FUNCTION journal.set_apart(first timestamptz, until timestamptz) RETURNS bigint
LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    last name := journal.partition_from(first);
    low uuid := journal.originator_id_at(first);
    high uuid := journal.originator_id_at(until);
    moved bigint;
BEGIN
    PERFORM journal.want_owner_of_events();
    IF first <= clock_timestamp() OR until <= first THEN
        RAISE 'partition: got % to %, want a range of times that lies ahead', first, until;
    END IF;
    LOCK TABLE journal.stored_events IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('CREATE TABLE journal.%I (LIKE journal.stored_events INCLUDING ALL)', last);
    EXECUTE format(
        'WITH moved AS (DELETE FROM journal.stored_events
                         WHERE originator_id >= %L AND originator_id < %L RETURNING *)
         INSERT INTO journal.%I SELECT * FROM moved', low, high, last);
    GET DIAGNOSTICS moved = ROW_COUNT;
    EXECUTE format(
        'ALTER TABLE journal.%I ADD CONSTRAINT stored_events_inside
             CHECK (originator_id >= %L AND originator_id < %L)', last, low, high);
    -- Readers of stored_events read both from here on.
    EXECUTE format('ALTER TABLE journal.%I INHERIT journal.stored_events', last);
    EXECUTE format(
        'ALTER TABLE journal.stored_events ADD CONSTRAINT stored_events_outside
             CHECK (originator_id < %L OR originator_id >= %L) NO INHERIT NOT VALID', low, high);
    EXECUTE format(
        'CREATE FUNCTION journal.store_apart() RETURNS trigger LANGUAGE plpgsql AS $trigger$
         BEGIN
             INSERT INTO journal.%I SELECT NEW.*;
             RETURN NULL;
         END
         $trigger$', last);
    EXECUTE format(
        'CREATE TRIGGER stored_events_store_apart BEFORE INSERT ON journal.stored_events FOR EACH ROW
             WHEN (NEW.originator_id >= %L AND NEW.originator_id < %L)
             EXECUTE FUNCTION journal.store_apart()', low, high);
    RETURN moved;
END
$$;

-- Renames the table to stored_events_default and puts a partitioned one in its place, with both tables as partitions.
-- Reads no row: the constraints prove where they belong, which is why stored_events_outside must be valid.
CREATE OR REPLACE FUNCTION journal.become_partitions() RETURNS void
LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    last regclass;
    bounds text[];
BEGIN
    PERFORM journal.want_owner_of_events();
    LOCK TABLE journal.stored_events IN ACCESS EXCLUSIVE MODE;
    IF NOT EXISTS (SELECT FROM pg_constraint
                    WHERE conrelid = 'journal.stored_events'::regclass
                      AND conname = 'stored_events_outside' AND convalidated) THEN
        RAISE 'partition: want stored_events_outside to be there and valid; else all rows would be read under lock';
    END IF;
    SELECT conrelid, regexp_match(pg_get_constraintdef(oid), '''(.*?)''.*''(.*?)''') INTO STRICT last, bounds
      FROM pg_constraint WHERE conname = 'stored_events_inside' AND connamespace = 'journal'::regnamespace;
    DROP TRIGGER stored_events_store_apart ON journal.stored_events;
    DROP FUNCTION journal.store_apart();
    EXECUTE format('ALTER TABLE %s NO INHERIT journal.stored_events', last);
    ALTER TABLE journal.stored_events RENAME TO stored_events_default;
    ALTER INDEX journal.stored_events_pkey RENAME TO stored_events_default_pkey;
    ALTER INDEX journal.stored_events_notification_id_idx RENAME TO stored_events_default_notification_id_idx;
    EXECUTE format(
        'CREATE TABLE journal.stored_events
             (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING COMMENTS)
             PARTITION BY RANGE (originator_id)', last);
    ALTER TABLE journal.stored_events DROP CONSTRAINT stored_events_inside;
    ALTER TABLE journal.stored_events
        ADD CONSTRAINT stored_events_pkey PRIMARY KEY (originator_id, originator_version);
    COMMENT ON TABLE journal.stored_events IS 'One row for each immutable event, in partitions by time.';
    ALTER TABLE journal.stored_events ATTACH PARTITION journal.stored_events_default DEFAULT;
    EXECUTE format(
        'ALTER TABLE journal.stored_events ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
        last, bounds[1], bounds[2]);
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT stored_events_inside', last);
END
$$;

-- Ends the last partition at a time and gives the rest of its range to a new one. To be done while the last one lies
-- ahead: it is read once, under lock, and what is beyond the cut is moved. Returns how many.
CREATE OR REPLACE FUNCTION journal.cut_last_partition(at timestamptz) RETURNS bigint
LANGUAGE plpgsql SET lock_timeout = '2s' AS $$
DECLARE
    bytes_max CONSTANT bigint := 1024 ^ 3;  -- read in a second or two
    following name := journal.partition_from(at);
    cut uuid := journal.originator_id_at(at);
    last regclass;
    bounds text[];
    moved bigint;
BEGIN
    PERFORM journal.want_owner_of_events();
    LOCK TABLE journal.stored_events IN ACCESS EXCLUSIVE MODE;
    SELECT partition.oid, limits INTO STRICT last, bounds
      FROM pg_inherits
      JOIN pg_class AS partition ON partition.oid = inhrelid,
           regexp_match(pg_get_expr(relpartbound, partition.oid), 'FROM \(''(.*)''\) TO \(''(.*)''\)') AS limits
     WHERE inhparent = 'journal.stored_events'::regclass AND limits IS NOT NULL
     ORDER BY limits[1] DESC LIMIT 1;
    IF cut <= bounds[1]::uuid OR cut >= bounds[2]::uuid THEN
        RAISE 'partition: got %, want a time inside of the last partition, %', at, last;
    END IF;
    IF pg_relation_size(last) > bytes_max THEN
        RAISE 'partition: got % of % bytes, want at most %: cut before it fills', last, pg_relation_size(last), bytes_max;
    END IF;
    EXECUTE format('CREATE TABLE journal.%I (LIKE %s INCLUDING ALL)', following, last);
    EXECUTE format('ALTER TABLE journal.stored_events DETACH PARTITION %s', last);
    EXECUTE format(
        'WITH moved AS (DELETE FROM %s WHERE originator_id >= %L RETURNING *)
         INSERT INTO journal.%I SELECT * FROM moved', last, cut, following);
    GET DIAGNOSTICS moved = ROW_COUNT;
    EXECUTE format(
        'ALTER TABLE journal.stored_events ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
        last, bounds[1], cut);
    EXECUTE format(
        'ALTER TABLE journal.stored_events ATTACH PARTITION journal.%I FOR VALUES FROM (%L) TO (%L)',
        following, cut, bounds[2]);
    RETURN moved;
END
$$;
