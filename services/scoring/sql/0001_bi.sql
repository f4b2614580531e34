-- The read models. Schema bi is the contract with BI tools: additive changes only; plain tables and views;
-- text rather than ENUM; no jsonb, arrays or intervals; UTC day keys. Schema scoring is nobody else's.
CREATE SCHEMA scoring;
CREATE SCHEMA bi;

-- Which tenant a BI role may see. Filled at every start of the service from its settings.
CREATE TABLE scoring.bi_role (
    role_name text NOT NULL,
    tenant    text NOT NULL,
    CONSTRAINT bi_role_pkey PRIMARY KEY (role_name)
);

-- SECURITY DEFINER: a BI role has no business in schema scoring.
CREATE FUNCTION bi.current_tenant() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'SELECT tenant FROM scoring.bi_role WHERE role_name = session_user';
COMMENT ON FUNCTION bi.current_tenant() IS 'The tenant that the role of this session is bound to.';

-- Which formulas the rollup's columns and the views were made for; another set means a refill.
CREATE TABLE scoring.formulas (
    singleton boolean NOT NULL DEFAULT true,
    signature text    NOT NULL,
    CONSTRAINT formulas_pkey PRIMARY KEY (singleton),
    CONSTRAINT formulas_is_one_row CHECK (singleton)
);

-- Amendments whose target has not come yet, and those that amend an amendment, which no formula follows.
CREATE TABLE scoring.waiting_amendment (
    tenant   text        NOT NULL,
    source   text        NOT NULL,
    event_id text        NOT NULL,
    position bigint      NOT NULL,
    event    bytea       NOT NULL,
    CONSTRAINT waiting_amendment_pkey PRIMARY KEY (tenant, source, event_id, position)
);

-- The checkpoint: committed together with what the page changed, by compare and set on position.
CREATE TABLE bi.freshness (
    projection   text        NOT NULL,
    journal_id   text        NOT NULL,
    position     bigint      NOT NULL,
    events       bigint      NOT NULL,
    recorded_at  timestamptz,
    journal_head bigint      NOT NULL,
    CONSTRAINT freshness_pkey PRIMARY KEY (projection)
);
COMMENT ON TABLE bi.freshness IS 'How far each projection is: one row each.';
COMMENT ON COLUMN bi.freshness.projection IS 'Name of the projection.';
COMMENT ON COLUMN bi.freshness.journal_id IS 'The journal that it reads; empty before the first page.';
COMMENT ON COLUMN bi.freshness.position IS 'The tables hold everything up to this position of the journal, and nothing after it.';
COMMENT ON COLUMN bi.freshness.events IS 'Events read so far; any other number than position means that some are missing.';
COMMENT ON COLUMN bi.freshness.recorded_at IS 'When the event at position was recorded.';
COMMENT ON COLUMN bi.freshness.journal_head IS 'Where the journal ended when the last page was read; minus position it is the lag.';
INSERT INTO bi.freshness VALUES ('scoreboard', '', 0, 0, NULL, 0);

CREATE TABLE bi.tenant (
    tenant         text NOT NULL,
    reporting_zone text NOT NULL,
    CONSTRAINT tenant_pkey PRIMARY KEY (tenant)
);
COMMENT ON TABLE bi.tenant IS 'The tenants, each with its declared reporting zone.';
COMMENT ON COLUMN bi.tenant.tenant IS 'Who the data belong to.';
COMMENT ON COLUMN bi.tenant.reporting_zone IS 'IANA time zone that the tenant reports in.';

CREATE TABLE bi.dim_date (
    date_key date    NOT NULL,
    year     integer NOT NULL,
    quarter  integer NOT NULL,
    month    integer NOT NULL,
    day      integer NOT NULL,
    iso_year integer NOT NULL,
    iso_week integer NOT NULL,
    weekday  integer NOT NULL,
    CONSTRAINT dim_date_pkey PRIMARY KEY (date_key)
);
COMMENT ON TABLE bi.dim_date IS 'Days: all from 1990 to 2059, and others where something happened on them.';
COMMENT ON COLUMN bi.dim_date.date_key IS 'The day, in UTC where it stands for a moment.';
COMMENT ON COLUMN bi.dim_date.year IS 'Calendar year.';
COMMENT ON COLUMN bi.dim_date.quarter IS '1 to 4.';
COMMENT ON COLUMN bi.dim_date.month IS '1 to 12.';
COMMENT ON COLUMN bi.dim_date.day IS '1 to 31.';
COMMENT ON COLUMN bi.dim_date.iso_year IS 'Year that the ISO week belongs to.';
COMMENT ON COLUMN bi.dim_date.iso_week IS '1 to 53.';
COMMENT ON COLUMN bi.dim_date.weekday IS '1 is Monday, 7 is Sunday.';
-- Joins with facts of other years must lose nothing, so the projector adds the days that are missing.
CREATE FUNCTION scoring.add_days(days date[]) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO bi.dim_date
    SELECT day, extract(year FROM day), extract(quarter FROM day), extract(month FROM day),
           extract(day FROM day), extract(isoyear FROM day), extract(week FROM day),
           extract(isodow FROM day)
      FROM unnest(days) AS given (day)
        ON CONFLICT DO NOTHING
$$;
SELECT scoring.add_days(array(
    SELECT day::date FROM generate_series(date '1990-01-01', date '2059-12-31', interval '1 day') AS all_days (day)
));

CREATE TABLE bi.dim_touchpoint (
    tenant         text   NOT NULL,
    touchpoint     text   NOT NULL,
    first_position bigint NOT NULL,
    CONSTRAINT dim_touchpoint_pkey PRIMARY KEY (tenant, touchpoint)
);
COMMENT ON TABLE bi.dim_touchpoint IS 'Every touchpoint that an event has named.';
COMMENT ON COLUMN bi.dim_touchpoint.tenant IS 'Who it belongs to.';
COMMENT ON COLUMN bi.dim_touchpoint.touchpoint IS 'Its name, such as store.checkout.';
COMMENT ON COLUMN bi.dim_touchpoint.first_position IS 'Position of the first event that named it.';

-- Lineage: which events there are, and where each one stands.
CREATE TABLE bi.event (
    tenant         text        NOT NULL,
    position       bigint      NOT NULL,
    source         text        NOT NULL,
    event_id       text        NOT NULL,
    topic          text        NOT NULL,
    occurred_at    timestamptz,
    recorded_at    timestamptz NOT NULL,
    touchpoint     text,
    customer       text,
    correlation_id text,
    causation_id   text,
    staff          text,
    store          text,
    device         text,
    business_date  date,
    CONSTRAINT event_pkey PRIMARY KEY (tenant, position),
    -- Amendments find their target by it.
    CONSTRAINT event_id_is_unique UNIQUE (tenant, source, event_id)
);
-- The last position recorded by a moment. Time and position agree in order, so the index only grows at its end.
CREATE INDEX event_recorded_at_idx ON bi.event (recorded_at, position);
COMMENT ON TABLE bi.event IS 'One row for each event of the journal, whatever it says.';
COMMENT ON COLUMN bi.event.tenant IS 'Who it belongs to.';
COMMENT ON COLUMN bi.event.position IS 'Its place in the journal; dense over all tenants.';
COMMENT ON COLUMN bi.event.source IS 'The system that published it.';
COMMENT ON COLUMN bi.event.event_id IS 'The source''s id of it.';
COMMENT ON COLUMN bi.event.topic IS 'What kind of event, such as touchledger.interaction.v1.';
COMMENT ON COLUMN bi.event.occurred_at IS 'When it happened, on the customer''s clock.';
COMMENT ON COLUMN bi.event.recorded_at IS 'When it was recorded, on the journal''s clock.';
COMMENT ON COLUMN bi.event.touchpoint IS 'Where customer and company met.';
COMMENT ON COLUMN bi.event.customer IS 'Pseudonym of the customer.';
COMMENT ON COLUMN bi.event.correlation_id IS 'Ties the events of one journey together.';
COMMENT ON COLUMN bi.event.causation_id IS 'Event id of the event that led to this one.';
COMMENT ON COLUMN bi.event.staff IS 'The source''s reference of the member of staff.';
COMMENT ON COLUMN bi.event.store IS 'Store or site.';
COMMENT ON COLUMN bi.event.device IS 'Till, terminal or workstation.';
COMMENT ON COLUMN bi.event.business_date IS 'Trading day that the source books it to.';

-- Facts. An event's fact is known from from_position (its own position, or that of the correction that says
-- it) up to, not including, to_position (that of the amendment that ended it). The facts as known at position
-- P are those with from_position <= P and (to_position IS NULL OR to_position > P).
CREATE TABLE bi.fact_interaction (
    tenant            text           NOT NULL,
    event_position    bigint         NOT NULL,
    from_position     bigint         NOT NULL,
    to_position       bigint,
    occurred_at       timestamptz    NOT NULL,
    occurred_date     date           NOT NULL,
    touchpoint        text           NOT NULL,
    stage             text           NOT NULL,
    channel           text           NOT NULL,
    customer          text,
    service_mode      text           NOT NULL,
    outcome           text           NOT NULL,
    duration_seconds  numeric(16, 6),
    wait_seconds      numeric(16, 6),
    amount            numeric(21, 6),
    currency          text,
    options_presented bigint,
    CONSTRAINT fact_interaction_pkey PRIMARY KEY (tenant, from_position, event_position),
    CONSTRAINT fact_interaction_event_fkey FOREIGN KEY (tenant, event_position)
        REFERENCES bi.event (tenant, position) NOT ENFORCED,
    CONSTRAINT fact_interaction_touchpoint_fkey FOREIGN KEY (tenant, touchpoint)
        REFERENCES bi.dim_touchpoint (tenant, touchpoint) NOT ENFORCED,
    CONSTRAINT fact_interaction_date_fkey FOREIGN KEY (occurred_date)
        REFERENCES bi.dim_date (date_key) NOT ENFORCED
);
COMMENT ON TABLE bi.fact_interaction IS 'Customer and company met. Current rows have to_position NULL.';
COMMENT ON COLUMN bi.fact_interaction.service_mode IS 'self, assisted, advised or unspecified.';
COMMENT ON COLUMN bi.fact_interaction.outcome IS 'completed, resolved, abandoned, transferred, failed, returned or unspecified.';
COMMENT ON COLUMN bi.fact_interaction.duration_seconds IS 'How long it took.';
COMMENT ON COLUMN bi.fact_interaction.wait_seconds IS 'How long the customer waited before.';
COMMENT ON COLUMN bi.fact_interaction.amount IS 'What was paid, exact; negative when money went back.';
COMMENT ON COLUMN bi.fact_interaction.currency IS 'ISO 4217 code of amount.';
COMMENT ON COLUMN bi.fact_interaction.options_presented IS 'How many options the customer was shown.';

CREATE TABLE bi.fact_feedback_request (
    tenant         text        NOT NULL,
    event_position bigint      NOT NULL,
    from_position  bigint      NOT NULL,
    to_position    bigint,
    occurred_at    timestamptz NOT NULL,
    occurred_date  date        NOT NULL,
    touchpoint     text        NOT NULL,
    stage          text        NOT NULL,
    channel        text        NOT NULL,
    customer       text,
    decision       text        NOT NULL,
    reason         text,
    survey         text,
    CONSTRAINT fact_feedback_request_pkey PRIMARY KEY (tenant, from_position, event_position),
    CONSTRAINT fact_feedback_request_event_fkey FOREIGN KEY (tenant, event_position)
        REFERENCES bi.event (tenant, position) NOT ENFORCED,
    CONSTRAINT fact_feedback_request_touchpoint_fkey FOREIGN KEY (tenant, touchpoint)
        REFERENCES bi.dim_touchpoint (tenant, touchpoint) NOT ENFORCED,
    CONSTRAINT fact_feedback_request_date_fkey FOREIGN KEY (occurred_date)
        REFERENCES bi.dim_date (date_key) NOT ENFORCED
);
COMMENT ON TABLE bi.fact_feedback_request IS 'A customer was asked, or deliberately not. Current rows have to_position NULL.';
COMMENT ON COLUMN bi.fact_feedback_request.decision IS 'requested or suppressed.';
COMMENT ON COLUMN bi.fact_feedback_request.reason IS 'Why the customer was not asked.';
COMMENT ON COLUMN bi.fact_feedback_request.survey IS 'The survey and its version.';

CREATE TABLE bi.fact_feedback (
    tenant           text           NOT NULL,
    event_position   bigint         NOT NULL,
    from_position    bigint         NOT NULL,
    to_position      bigint,
    signal_index     integer        NOT NULL,
    occurred_at      timestamptz    NOT NULL,
    occurred_date    date           NOT NULL,
    touchpoint       text           NOT NULL,
    stage            text           NOT NULL,
    channel          text           NOT NULL,
    customer         text,
    kind             text           NOT NULL,
    request_id       text,
    metric           text,
    value            numeric(21, 6),
    scale_min        numeric(21, 6),
    scale_max        numeric(21, 6),
    higher_is_better boolean,
    dimension        text,
    question         text,
    model            text,
    CONSTRAINT fact_feedback_pkey PRIMARY KEY (tenant, from_position, event_position, signal_index),
    CONSTRAINT fact_feedback_event_fkey FOREIGN KEY (tenant, event_position)
        REFERENCES bi.event (tenant, position) NOT ENFORCED,
    CONSTRAINT fact_feedback_touchpoint_fkey FOREIGN KEY (tenant, touchpoint)
        REFERENCES bi.dim_touchpoint (tenant, touchpoint) NOT ENFORCED,
    CONSTRAINT fact_feedback_date_fkey FOREIGN KEY (occurred_date)
        REFERENCES bi.dim_date (date_key) NOT ENFORCED
);
COMMENT ON TABLE bi.fact_feedback IS 'Feedback, one row for each measured answer in it; feedback in words alone has one row without metric. Current rows have to_position NULL.';
COMMENT ON COLUMN bi.fact_feedback.signal_index IS '0 for the first row of a feedback, so that counting these counts feedback.';
COMMENT ON COLUMN bi.fact_feedback.kind IS 'comment, complaint, compliment or unspecified.';
COMMENT ON COLUMN bi.fact_feedback.request_id IS 'Event id of the request that it answers.';
COMMENT ON COLUMN bi.fact_feedback.metric IS 'csat, nps, ces, rating, thumbs or sentiment.';
COMMENT ON COLUMN bi.fact_feedback.value IS 'The answer, exact, on its own scale.';
COMMENT ON COLUMN bi.fact_feedback.scale_min IS 'The scale''s lowest answer.';
COMMENT ON COLUMN bi.fact_feedback.scale_max IS 'The scale''s highest answer.';
COMMENT ON COLUMN bi.fact_feedback.higher_is_better IS 'Which end of the scale is good.';
COMMENT ON COLUMN bi.fact_feedback.dimension IS 'What was judged; NULL is the whole.';
COMMENT ON COLUMN bi.fact_feedback.question IS 'The question''s id.';
COMMENT ON COLUMN bi.fact_feedback.model IS 'The model that read a sentiment, with its version.';

-- Sums and counts, never averages, so that any tool may add them up. A column for each sum of each metric
-- (services/scoring/metrics) is added at the start of the service, and the views over it are made then.
CREATE TABLE bi.rollup_touchpoint_day (
    tenant        text NOT NULL,
    occurred_date date NOT NULL,
    touchpoint    text NOT NULL,
    stage         text NOT NULL,
    channel       text NOT NULL,
    CONSTRAINT rollup_touchpoint_day_pkey PRIMARY KEY (tenant, occurred_date, touchpoint, stage, channel),
    CONSTRAINT rollup_touchpoint_day_touchpoint_fkey FOREIGN KEY (tenant, touchpoint)
        REFERENCES bi.dim_touchpoint (tenant, touchpoint) NOT ENFORCED,
    CONSTRAINT rollup_touchpoint_day_date_fkey FOREIGN KEY (occurred_date)
        REFERENCES bi.dim_date (date_key) NOT ENFORCED
);
COMMENT ON TABLE bi.rollup_touchpoint_day IS 'What happened at a touchpoint on a UTC day: sums and counts of the current facts.';

-- The primary key serves reading a page's new facts and reading as of a position. Amended facts are few, so
-- what finds them is partial and costs the others nothing: the facts that an amendment ends are those of the
-- event itself (from_position = event_position, found by the key) or those that an earlier correction put
-- in their place; and the rollup takes out what a page ended.
CREATE INDEX fact_interaction_corrected_idx ON bi.fact_interaction (tenant, event_position)
    WHERE from_position <> event_position;
CREATE INDEX fact_interaction_ended_idx ON bi.fact_interaction (to_position) WHERE to_position IS NOT NULL;
CREATE INDEX fact_feedback_request_corrected_idx ON bi.fact_feedback_request (tenant, event_position)
    WHERE from_position <> event_position;
CREATE INDEX fact_feedback_request_ended_idx ON bi.fact_feedback_request (to_position)
    WHERE to_position IS NOT NULL;
CREATE INDEX fact_feedback_corrected_idx ON bi.fact_feedback (tenant, event_position)
    WHERE from_position <> event_position;
CREATE INDEX fact_feedback_ended_idx ON bi.fact_feedback (to_position) WHERE to_position IS NOT NULL;

-- What the fact tables and the rollup share.
DO $$
DECLARE
    shared record;
BEGIN
    FOR shared IN
        SELECT c.table_name, c.column_name, t.meaning
          FROM information_schema.columns c
          JOIN (VALUES
              ('tenant', 'Who it belongs to.'),
              ('event_position', 'Position of the event that the fact is of.'),
              ('from_position', 'The fact is known from this position of the journal on.'),
              ('to_position', 'The fact is known up to, not including, this position; NULL while it is current.'),
              ('occurred_at', 'When it happened, on the customer''s clock.'),
              ('occurred_date', 'The UTC day of occurred_at.'),
              ('touchpoint', 'Where customer and company met.'),
              ('stage', 'Where on the journey: awareness, consideration, selection, purchase, delivery, use, service, loyalty or unspecified.'),
              ('channel', 'Through what: store, phone, web, app, chat, email, social, kiosk, post, advert or unspecified.'),
              ('customer', 'Pseudonym of the customer.')
          ) AS t (column_name, meaning) USING (column_name)
         WHERE c.table_schema = 'bi' AND (c.table_name LIKE 'fact\_%' OR c.table_name LIKE 'rollup\_%')
    LOOP
        EXECUTE format('COMMENT ON COLUMN bi.%I.%I IS %L',
                       shared.table_name, shared.column_name, shared.meaning);
    END LOOP;
END
$$;

-- Interval of a share, Wilson 1927, 95 %. NULL when nobody answered.
CREATE FUNCTION bi.wilson_lower(successes bigint, answered bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT greatest(0, (p + z * z / (2 * n) - z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n))
      FROM (SELECT successes::double precision / NULLIF(answered, 0) AS p,
                   NULLIF(answered, 0)::double precision AS n,
                   1.959963984540054::double precision AS z) AS given
     WHERE n IS NOT NULL
$$;
COMMENT ON FUNCTION bi.wilson_lower(bigint, bigint) IS 'Lower bound of successes/answered: Wilson score interval, 95 %.';
CREATE FUNCTION bi.wilson_upper(successes bigint, answered bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT least(1, (p + z * z / (2 * n) + z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n))
      FROM (SELECT successes::double precision / NULLIF(answered, 0) AS p,
                   NULLIF(answered, 0)::double precision AS n,
                   1.959963984540054::double precision AS z) AS given
     WHERE n IS NOT NULL
$$;
COMMENT ON FUNCTION bi.wilson_upper(bigint, bigint) IS 'Upper bound of successes/answered: Wilson score interval, 95 %.';
-- Adjusted Wald, Rocks 2016 (Am. Stat. 70(4)): three quarters are added to promoters and to detractors, one
-- and a half to the rest. The plain standard error is 0 when all answers agree.
CREATE FUNCTION bi.nps_bound(promoters bigint, detractors bigint, answered bigint, z double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT 100 * (p - d + z * sqrt((p + d - (p - d) * (p - d)) / n))
      FROM (SELECT (promoters + 0.75::double precision) / (answered + 3) AS p,
                   (detractors + 0.75::double precision) / (answered + 3) AS d,
                   (answered + 3)::double precision AS n) AS given
     WHERE answered > 0
$$;
COMMENT ON FUNCTION bi.nps_bound(bigint, bigint, bigint, double precision) IS 'Bound of the net promoter score, adjusted Wald: z is -1.959963984540054 for the lower and 1.959963984540054 for the upper one of 95 %.';

CREATE VIEW bi.data_dictionary WITH (security_invoker = true) AS
SELECT t.relname::text AS table_name,
       coalesce(a.attname::text, '') AS column_name,
       coalesce(format_type(a.atttypid, a.atttypmod), '') AS data_type,
       coalesce(d.description, '') AS meaning
  FROM pg_catalog.pg_description d
  JOIN pg_catalog.pg_class t ON t.oid = d.objoid AND t.relnamespace = 'bi'::regnamespace
                            AND t.relkind IN ('r', 'v')
  LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.objsubid AND d.objsubid > 0
 WHERE d.classoid = 'pg_catalog.pg_class'::regclass;
COMMENT ON VIEW bi.data_dictionary IS 'What each table and column means, for tools that show no comments.';
COMMENT ON COLUMN bi.data_dictionary.table_name IS 'Table or view.';
COMMENT ON COLUMN bi.data_dictionary.column_name IS 'Column; empty for the table itself.';
COMMENT ON COLUMN bi.data_dictionary.data_type IS 'Type of the column.';
COMMENT ON COLUMN bi.data_dictionary.meaning IS 'What it means.';

-- A BI role sees the rows of its tenant alone. The service itself owns the tables and sees all. The
-- sub-select is evaluated once for a query, not for each row.
DO $$
DECLARE
    of_tenant record;
BEGIN
    FOR of_tenant IN
        SELECT DISTINCT c.table_name
          FROM information_schema.columns c
          JOIN information_schema.tables t USING (table_schema, table_name)
         WHERE c.table_schema = 'bi' AND c.column_name = 'tenant' AND t.table_type = 'BASE TABLE'
    LOOP
        EXECUTE format('ALTER TABLE bi.%I ENABLE ROW LEVEL SECURITY', of_tenant.table_name);
        EXECUTE format('CREATE POLICY own_tenant ON bi.%I FOR SELECT USING (tenant = (SELECT bi.current_tenant()))',
                       of_tenant.table_name);
    END LOOP;
END
$$;
