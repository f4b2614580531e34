-- Rules of statistical process control, what they have told, and how that was delivered. They outlive read models:
-- what was told stays told (services/scoring/alerts).
INSERT INTO scoring.lease (projection, owner, token, took_at, expires_at)
VALUES ('alerts', '', 0, '-infinity', '-infinity');

-- Another content under the same name is another version; rows are never changed but for is_current and for what
-- is known of the last judgement.
CREATE TABLE scoring.alert_rule (
    tenant                  text    NOT NULL,
    name                    text    NOT NULL,
    version                 integer NOT NULL,
    is_current              boolean NOT NULL DEFAULT true,
    -- touchledger.v1.AlertRule as JSON with the names of the proto.
    definition              text    NOT NULL,
    -- It has judged what was known then; NULL while nothing was recorded.
    put_position            bigint  NOT NULL,
    put_at                  timestamptz,
    -- The last moment that was judged, on the journal's clock. Compare and set.
    judged_at               timestamptz,
    -- The next one; NULL where that is not known yet.
    due_at                  timestamptz,
    groups                  integer NOT NULL,
    groups_without_baseline integer NOT NULL,
    run_length              double precision,
    run_length_method       text    NOT NULL,
    false_alarms_per_year   double precision,
    trouble                 text    NOT NULL,
    CONSTRAINT alert_rule_pkey PRIMARY KEY (tenant, name, version)
);
CREATE UNIQUE INDEX alert_rule_one_is_current_idx ON scoring.alert_rule (tenant, name) WHERE is_current;

-- Facts: rows are added, never changed or deleted. The number is dense within a tenant, in the order of commits:
-- whoever holds the lease draws them, one transaction after the other.
CREATE TABLE scoring.alert (
    tenant       text        NOT NULL,
    number       bigint      NOT NULL,
    alert_id     text        NOT NULL,
    rule         text        NOT NULL,
    rule_version integer     NOT NULL,
    grouped_by   text        NOT NULL,
    group_name   text        NOT NULL,
    period_start date        NOT NULL,
    period_end   date        NOT NULL,
    -- 1 is an alarm, 2 takes it back, 3 is an alarm again, and so on.
    nth          integer     NOT NULL,
    -- Number of the alert before about the same; NULL for the first.
    supersedes   bigint,
    -- NULL where nothing was left to judge.
    part         bigint,
    whole        bigint,
    p0           double precision,
    statistic    double precision,
    lower_limit  double precision,
    upper_limit  double precision,
    p_value      double precision,
    judged_at    timestamptz NOT NULL,
    position     bigint      NOT NULL,
    CONSTRAINT alert_pkey PRIMARY KEY (tenant, number),
    -- A judgement that is repeated tells nothing twice.
    CONSTRAINT alert_is_told_once UNIQUE (tenant, rule, rule_version, group_name, period_start, nth)
);

CREATE TABLE scoring.alert_delivery (
    tenant      text        NOT NULL,
    number      bigint      NOT NULL,
    state       text        NOT NULL DEFAULT 'waiting',
    attempts    integer     NOT NULL DEFAULT 0,
    last_result text        NOT NULL DEFAULT '',
    made_at     timestamptz NOT NULL DEFAULT now(),
    due_at      timestamptz NOT NULL DEFAULT now(),
    tried_at    timestamptz,
    CONSTRAINT alert_delivery_pkey PRIMARY KEY (tenant, number),
    CONSTRAINT alert_delivery_alert_fkey FOREIGN KEY (tenant, number) REFERENCES scoring.alert (tenant, number),
    CONSTRAINT alert_delivery_state_check CHECK (state IN ('waiting', 'delivered', 'given_up'))
);
-- What is to be tried next.
CREATE INDEX alert_delivery_due_idx ON scoring.alert_delivery (due_at) WHERE state = 'waiting';
