-- What the fold of one version of the read models keeps for itself, in a schema beside it (fold beside bi).

-- Which shape the tables have (services/scoring/models.py).
CREATE TABLE shape (
    singleton boolean NOT NULL DEFAULT true,
    number    integer NOT NULL,
    CONSTRAINT shape_pkey PRIMARY KEY (singleton),
    CONSTRAINT shape_is_one_row CHECK (singleton)
);

-- Which formulas the rollups' columns and the views were made for; another set means a refill.
CREATE TABLE formulas (
    singleton boolean NOT NULL DEFAULT true,
    signature text    NOT NULL,
    CONSTRAINT formulas_pkey PRIMARY KEY (singleton),
    CONSTRAINT formulas_is_one_row CHECK (singleton)
);

-- Amendments whose target has not come yet, and those that amend an amendment, which no formula follows.
CREATE TABLE waiting_amendment (
    tenant   text        NOT NULL,
    source   text        NOT NULL,
    event_id text        NOT NULL,
    position bigint      NOT NULL,
    event    bytea       NOT NULL,
    CONSTRAINT waiting_amendment_pkey PRIMARY KEY (tenant, source, event_id, position)
);

-- Which touchpoint a stream of decisions defines: only its first decision names it.
CREATE TABLE definition_stream (
    stream_id  bytea NOT NULL,
    tenant     text  NOT NULL,
    touchpoint text  NOT NULL,
    CONSTRAINT definition_stream_pkey PRIMARY KEY (stream_id)
);

-- Which case a stream of decisions is about: only its first decision names it.
CREATE TABLE case_stream (
    stream_id  bytea NOT NULL,
    case_id    text  NOT NULL,
    CONSTRAINT case_stream_pkey PRIMARY KEY (stream_id)
);
