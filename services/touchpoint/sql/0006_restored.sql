-- From which journals this one was restored (services/touchpoint/restored.py): positions up to there mean the same in
-- both, later ones of the journal before are lost, and their numbers are drawn anew.
CREATE TABLE journal.restored (
    number      bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    journal_id  uuid        NOT NULL,
    position    bigint      NOT NULL,
    restored_at timestamptz NOT NULL,
    CONSTRAINT restored_pkey PRIMARY KEY (number)
);
COMMENT ON TABLE journal.restored IS 'One row for each restore, in order.';
COMMENT ON COLUMN journal.restored.journal_id IS 'The id that the journal had before.';
COMMENT ON COLUMN journal.restored.position IS 'The last position that both have.';
