-- Who projects, and what is known of the next read models before they may answer (services/scoring/lease.py,
-- services/scoring/projections.py).

-- One owner for each projection. Each page begins by renewing the lease under its token, and whoever takes the
-- lease draws another token: a page of an owner that has lost it changes nothing, however late it comes.
-- Updated by each page, so a page of the table has room for the new version beside the old one.
CREATE TABLE scoring.lease (
    projection text        NOT NULL,
    owner      text        NOT NULL,
    token      bigint      NOT NULL,
    took_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT lease_pkey PRIMARY KEY (projection)
) WITH (fillfactor = 50);
INSERT INTO scoring.lease (projection, owner, token, took_at, expires_at) VALUES
    ('live', '', 0, '-infinity', '-infinity'),
    ('next', '', 0, '-infinity', '-infinity');

-- The last comparison of the next read models with those that answer. Gone as soon as either is another one.
CREATE TABLE scoring.comparison (
    singleton      boolean     NOT NULL DEFAULT true,
    journal_id     text        NOT NULL,
    position       bigint      NOT NULL,
    differing_rows bigint      NOT NULL,
    compared_at    timestamptz NOT NULL,
    CONSTRAINT comparison_pkey PRIMARY KEY (singleton),
    CONSTRAINT comparison_is_one_row CHECK (singleton)
);
