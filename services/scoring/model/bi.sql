-- The read models of one version: applied to a schema of its own, which is called bi while it is the one that
-- answers (services/scoring/models.py). Nothing in it names a schema. Schema bi is the contract with BI tools:
-- additive changes only; plain tables and views; text rather than ENUM; no jsonb, arrays or intervals.

-- SECURITY DEFINER: a BI role has no business in schema scoring.
CREATE FUNCTION current_tenant() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'SELECT tenant FROM scoring.bi_role WHERE role_name = session_user';
COMMENT ON FUNCTION current_tenant() IS 'The tenant that the role of this session is bound to.';

-- The checkpoint: committed together with what the page changed, by compare and set on position.
CREATE TABLE freshness (
    projection   text        NOT NULL,
    journal_id   text        NOT NULL,
    position     bigint      NOT NULL,
    events       bigint      NOT NULL,
    recorded_at  timestamptz,
    journal_head bigint      NOT NULL,
    CONSTRAINT freshness_pkey PRIMARY KEY (projection)
);
COMMENT ON TABLE freshness IS 'How far each projection is: one row each.';
COMMENT ON COLUMN freshness.projection IS 'Name of the projection.';
COMMENT ON COLUMN freshness.journal_id IS 'The journal that it reads; empty before the first page.';
COMMENT ON COLUMN freshness.position IS 'The tables hold everything up to this position of the journal, and nothing after it.';
COMMENT ON COLUMN freshness.events IS 'Events read so far; any other number than position means that some are missing.';
COMMENT ON COLUMN freshness.recorded_at IS 'When the event at position was recorded.';
COMMENT ON COLUMN freshness.journal_head IS 'Where the journal ended when the last page was read; minus position it is the lag.';
INSERT INTO freshness VALUES ('scoreboard', '', 0, 0, NULL, 0);

CREATE TABLE tenant (
    tenant         text NOT NULL,
    reporting_zone text NOT NULL,
    CONSTRAINT tenant_pkey PRIMARY KEY (tenant)
);
COMMENT ON TABLE tenant IS 'The tenants, each with its declared reporting zone.';
COMMENT ON COLUMN tenant.tenant IS 'Who the data belong to.';
COMMENT ON COLUMN tenant.reporting_zone IS 'IANA time zone that the tenant reports in.';

CREATE TABLE dim_date (
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
COMMENT ON TABLE dim_date IS 'Days: all from 1990 to 2059, and others where something happened on them.';
COMMENT ON COLUMN dim_date.date_key IS 'The day, in UTC where it stands for a moment.';
COMMENT ON COLUMN dim_date.year IS 'Calendar year.';
COMMENT ON COLUMN dim_date.quarter IS '1 to 4.';
COMMENT ON COLUMN dim_date.month IS '1 to 12.';
COMMENT ON COLUMN dim_date.day IS '1 to 31.';
COMMENT ON COLUMN dim_date.iso_year IS 'Year that the ISO week belongs to.';
COMMENT ON COLUMN dim_date.iso_week IS '1 to 53.';
COMMENT ON COLUMN dim_date.weekday IS '1 is Monday, 7 is Sunday.';
-- Joins with facts of other years must lose nothing, so the projector adds the days that are missing.
INSERT INTO dim_date
SELECT day, extract(year FROM day), extract(quarter FROM day), extract(month FROM day), extract(day FROM day),
       extract(isoyear FROM day), extract(week FROM day), extract(isodow FROM day)
  FROM generate_series(timestamp '1990-01-01', timestamp '2059-12-31', interval '1 day') AS all_days (day);

CREATE TABLE dim_touchpoint (
    tenant              text           NOT NULL,
    touchpoint          text           NOT NULL,
    first_position      bigint         NOT NULL,
    owner               text,
    stage               text,
    channel             text,
    weight              numeric(21, 6),
    wait_seconds_max    numeric(16, 6),
    answer_seconds_max  numeric(16, 6),
    resolve_seconds_max numeric(16, 6),
    retired             boolean        NOT NULL DEFAULT false,
    definition_position bigint,
    CONSTRAINT dim_touchpoint_pkey PRIMARY KEY (tenant, touchpoint)
);
COMMENT ON TABLE dim_touchpoint IS 'Every touchpoint that an event has named or the catalogue defines, as it is defined now.';
COMMENT ON COLUMN dim_touchpoint.tenant IS 'Who it belongs to.';
COMMENT ON COLUMN dim_touchpoint.touchpoint IS 'Its name, such as store.checkout; unspecified stands for none.';
COMMENT ON COLUMN dim_touchpoint.first_position IS 'Position of the first event that named it.';
COMMENT ON COLUMN dim_touchpoint.owner IS 'Who answers for it; NULL while the catalogue does not define it.';
COMMENT ON COLUMN dim_touchpoint.stage IS 'Where on the journey it is, as the catalogue says.';
COMMENT ON COLUMN dim_touchpoint.channel IS 'Through what, as the catalogue says.';
COMMENT ON COLUMN dim_touchpoint.weight IS 'How much it counts among all touchpoints.';
COMMENT ON COLUMN dim_touchpoint.wait_seconds_max IS 'Longest wait that the standard allows.';
COMMENT ON COLUMN dim_touchpoint.answer_seconds_max IS 'Longest time to an answer that the standard allows.';
COMMENT ON COLUMN dim_touchpoint.resolve_seconds_max IS 'Longest time to a resolution that the standard allows.';
COMMENT ON COLUMN dim_touchpoint.retired IS 'The catalogue has retired it.';
COMMENT ON COLUMN dim_touchpoint.definition_position IS 'Position of the last decision about it.';

CREATE TABLE dim_service_standard (
    tenant           text           NOT NULL,
    touchpoint       text           NOT NULL,
    metric           text           NOT NULL,
    dimension        text           NOT NULL,
    value            numeric(21, 6) NOT NULL,
    scale_min        numeric(21, 6) NOT NULL,
    scale_max        numeric(21, 6) NOT NULL,
    higher_is_better boolean        NOT NULL,
    CONSTRAINT dim_service_standard_pkey PRIMARY KEY (tenant, touchpoint, metric, dimension),
    CONSTRAINT dim_service_standard_touchpoint_fkey FOREIGN KEY (tenant, touchpoint)
        REFERENCES dim_touchpoint (tenant, touchpoint) NOT ENFORCED
);
COMMENT ON TABLE dim_service_standard IS 'The mean answers that the owner of a touchpoint declares to reach, as the catalogue says now.';
COMMENT ON COLUMN dim_service_standard.tenant IS 'Who it belongs to.';
COMMENT ON COLUMN dim_service_standard.touchpoint IS 'The touchpoint.';
COMMENT ON COLUMN dim_service_standard.metric IS 'csat, nps, ces, rating, thumbs, sentiment, comparison or premium.';
COMMENT ON COLUMN dim_service_standard.dimension IS 'What is judged; overall is the whole.';
COMMENT ON COLUMN dim_service_standard.value IS 'The mean answer, exact, on its own scale.';
COMMENT ON COLUMN dim_service_standard.scale_min IS 'The scale''s lowest answer.';
COMMENT ON COLUMN dim_service_standard.scale_max IS 'The scale''s highest answer.';
COMMENT ON COLUMN dim_service_standard.higher_is_better IS 'Which end of the scale is good.';

CREATE TABLE dim_stage (
    stage    text    NOT NULL,
    place    integer NOT NULL,
    CONSTRAINT dim_stage_pkey PRIMARY KEY (stage)
);
COMMENT ON TABLE dim_stage IS 'The stages of the whole journey, from first advert to after-sales.';
COMMENT ON COLUMN dim_stage.stage IS 'Its name.';
COMMENT ON COLUMN dim_stage.place IS 'Its place on the journey, 1 to 8; 0 is unspecified.';
INSERT INTO dim_stage VALUES
    ('unspecified', 0), ('awareness', 1), ('consideration', 2), ('selection', 3), ('purchase', 4),
    ('delivery', 5), ('use', 6), ('service', 7), ('loyalty', 8);

CREATE TABLE dim_channel (
    channel text NOT NULL,
    CONSTRAINT dim_channel_pkey PRIMARY KEY (channel)
);
COMMENT ON TABLE dim_channel IS 'Through what customer and company meet.';
COMMENT ON COLUMN dim_channel.channel IS 'Its name.';
INSERT INTO dim_channel VALUES
    ('unspecified'), ('store'), ('phone'), ('web'), ('app'), ('chat'), ('email'), ('social'), ('kiosk'),
    ('post'), ('advert');

-- Pew Research Center (2019), "Defining generations: Where Millennials end and Generation Z begins"; those
-- before 1928 and after 2012 are named by common use.
CREATE TABLE dim_generation (
    generation      text    NOT NULL,
    birth_year_from integer,
    birth_year_to   integer,
    CONSTRAINT dim_generation_pkey PRIMARY KEY (generation)
);
COMMENT ON TABLE dim_generation IS 'Generations by year of birth, by today''s rule, which all rollups keep: how boundaries changed is in dim_generation_rule. A customer whose band of years lies in two of them is unspecified.';
COMMENT ON COLUMN dim_generation.generation IS 'Its name.';
COMMENT ON COLUMN dim_generation.birth_year_from IS 'First year of birth.';
COMMENT ON COLUMN dim_generation.birth_year_to IS 'Last year of birth.';
INSERT INTO dim_generation VALUES
    ('unspecified', NULL, NULL), ('greatest', 1900, 1927), ('silent', 1928, 1945), ('boomer', 1946, 1964),
    ('x', 1965, 1980), ('millennial', 1981, 1996), ('z', 1997, 2012), ('alpha', 2013, 2100);

-- Where generations begin and end is agreed, and was agreed anew. Rule 1: Pew Research Center (3 September 2015),
-- "The Whys and Hows of Generations Research", which left those born after 1997 without a name. Rule 2: Pew
-- Research Center (17 January 2019), as in dim_generation. The others are named by common use.
CREATE TABLE dim_generation_rule (
    generation      text        NOT NULL,
    rule_version    integer     NOT NULL,
    birth_year_from integer     NOT NULL,
    birth_year_to   integer     NOT NULL,
    valid_from      timestamptz NOT NULL,
    valid_to        timestamptz,
    CONSTRAINT dim_generation_rule_pkey PRIMARY KEY (rule_version, generation),
    CONSTRAINT dim_generation_rule_generation_fkey FOREIGN KEY (generation)
        REFERENCES dim_generation (generation) NOT ENFORCED
);
COMMENT ON TABLE dim_generation_rule IS 'Generations by year of birth, by each rule that was ever valid. Join on the time of a fact.';
COMMENT ON COLUMN dim_generation_rule.generation IS 'Its name: a key of dim_generation.';
COMMENT ON COLUMN dim_generation_rule.rule_version IS '1, 2 and so on; the last one is that of dim_generation.';
COMMENT ON COLUMN dim_generation_rule.birth_year_from IS 'First year of birth.';
COMMENT ON COLUMN dim_generation_rule.birth_year_to IS 'Last year of birth.';
COMMENT ON COLUMN dim_generation_rule.valid_from IS 'The rule is valid from this moment on; no event occurs before the first.';
COMMENT ON COLUMN dim_generation_rule.valid_to IS 'Up to, not including, this moment; NULL while it is valid.';
INSERT INTO dim_generation_rule
SELECT generation, rule_version, birth_year_from, birth_year_to, valid_from, valid_to
  FROM (VALUES
      (1, timestamptz '1900-01-01T00:00:00Z', timestamptz '2019-01-17T00:00:00Z'),
      (2, timestamptz '2019-01-17T00:00:00Z', NULL)
  ) AS rule (rule_version, valid_from, valid_to)
  JOIN (VALUES
      (1, 'greatest', 1900, 1927), (1, 'silent', 1928, 1945), (1, 'boomer', 1946, 1964), (1, 'x', 1965, 1980),
      (1, 'millennial', 1981, 1997), (1, 'z', 1998, 2012), (1, 'alpha', 2013, 2100),
      (2, 'greatest', 1900, 1927), (2, 'silent', 1928, 1945), (2, 'boomer', 1946, 1964), (2, 'x', 1965, 1980),
      (2, 'millennial', 1981, 1996), (2, 'z', 1997, 2012), (2, 'alpha', 2013, 2100)
  ) AS said (rule_version, generation, birth_year_from, birth_year_to) USING (rule_version);

CREATE TABLE dim_customer (
    tenant          text        NOT NULL,
    customer        text        NOT NULL,
    generation      text        NOT NULL,
    birth_year_from integer,
    birth_year_to   integer,
    CONSTRAINT dim_customer_pkey PRIMARY KEY (tenant, customer)
);
COMMENT ON TABLE dim_customer IS 'Customers whose year of birth is known to a band, as it is known now.';
COMMENT ON COLUMN dim_customer.tenant IS 'Who the data belong to.';
COMMENT ON COLUMN dim_customer.customer IS 'Pseudonym of the customer.';
COMMENT ON COLUMN dim_customer.generation IS 'Generation: a key of dim_generation.';
COMMENT ON COLUMN dim_customer.birth_year_from IS 'First year of the band that the year of birth is in.';
COMMENT ON COLUMN dim_customer.birth_year_to IS 'Last year of that band.';

CREATE TABLE dim_segment (
    tenant     text        NOT NULL,
    customer   text        NOT NULL,
    segment    text        NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to   timestamptz,
    value      text        NOT NULL,
    CONSTRAINT dim_segment_pkey PRIMARY KEY (tenant, customer, segment, valid_from)
);
COMMENT ON TABLE dim_segment IS 'Segments of customers and how they changed, as it is known now. Join on the time of a fact.';
COMMENT ON COLUMN dim_segment.tenant IS 'Who the data belong to.';
COMMENT ON COLUMN dim_segment.customer IS 'Pseudonym of the customer.';
COMMENT ON COLUMN dim_segment.segment IS 'Name of the segment, such as status.';
COMMENT ON COLUMN dim_segment.valid_from IS 'From this moment on.';
COMMENT ON COLUMN dim_segment.valid_to IS 'Up to, not including, this moment; NULL while it lasts.';
COMMENT ON COLUMN dim_segment.value IS 'The customer''s segment of that name, such as gold.';

CREATE TABLE dim_staff (
    tenant      text        NOT NULL,
    source      text        NOT NULL,
    staff       text        NOT NULL,
    valid_from  timestamptz NOT NULL,
    valid_to    timestamptz,
    staff_group text        NOT NULL,
    cohort      text        NOT NULL,
    job_design  text        NOT NULL,
    CONSTRAINT dim_staff_pkey PRIMARY KEY (tenant, source, staff, valid_from)
);
COMMENT ON TABLE dim_staff IS 'Where members of staff worked when, as it is known now. Join on the time of a fact.';
COMMENT ON COLUMN dim_staff.tenant IS 'Who the data belong to.';
COMMENT ON COLUMN dim_staff.source IS 'The system whose reference staff is.';
COMMENT ON COLUMN dim_staff.staff IS 'The source''s reference of the member of staff.';
COMMENT ON COLUMN dim_staff.valid_from IS 'From this moment on.';
COMMENT ON COLUMN dim_staff.valid_to IS 'Up to, not including, this moment; NULL while it lasts.';
COMMENT ON COLUMN dim_staff.staff_group IS 'Team or department.';
COMMENT ON COLUMN dim_staff.cohort IS 'Those who began together.';
COMMENT ON COLUMN dim_staff.job_design IS 'Variant of the job''s design.';

CREATE TABLE dim_formula (
    formula text    NOT NULL,
    version integer NOT NULL,
    name    text    NOT NULL,
    kind    text    NOT NULL,
    meaning text    NOT NULL,
    CONSTRAINT dim_formula_pkey PRIMARY KEY (formula, version, name)
);
COMMENT ON TABLE dim_formula IS 'The formulas that the columns of rollups and views come from.';
COMMENT ON COLUMN dim_formula.formula IS 'Name of the metric or figure.';
COMMENT ON COLUMN dim_formula.version IS 'Its version; another meaning has another.';
COMMENT ON COLUMN dim_formula.name IS 'The column.';
COMMENT ON COLUMN dim_formula.kind IS 'sum: can be added up; score: can not; figure: a column of the view that is named as the formula.';
COMMENT ON COLUMN dim_formula.meaning IS 'What it means.';

-- Lineage: which events there are, and where each one stands.
CREATE TABLE event (
    tenant         text        NOT NULL,
    position       bigint      NOT NULL,
    source         text        NOT NULL,
    event_id       text        NOT NULL,
    topic          text        NOT NULL,
    occurred_at    timestamptz,
    recorded_at    timestamptz NOT NULL,
    causation_id   text,
    device         text,
    business_date  date,
    CONSTRAINT event_pkey PRIMARY KEY (tenant, position),
    -- Amendments find their target by it.
    CONSTRAINT event_id_is_unique UNIQUE (tenant, source, event_id)
);
-- The last position recorded by a moment. Time and position agree in order, so the index only grows at its end.
CREATE INDEX event_recorded_at_idx ON event (recorded_at, position);
COMMENT ON TABLE event IS 'One row for each event of the journal. What it says is in the facts.';
COMMENT ON COLUMN event.tenant IS 'Who it belongs to.';
COMMENT ON COLUMN event.position IS 'Its place in the journal; dense over all tenants.';
COMMENT ON COLUMN event.source IS 'The system that published it.';
COMMENT ON COLUMN event.event_id IS 'The source''s id of it.';
COMMENT ON COLUMN event.topic IS 'What kind of event, such as touchledger.interaction.v1.';
COMMENT ON COLUMN event.occurred_at IS 'When it happened, as the source says; in the facts it is corrected where the source''s clock was off.';
COMMENT ON COLUMN event.recorded_at IS 'When it was recorded, on the journal''s clock.';
COMMENT ON COLUMN event.causation_id IS 'Event id of the event that led to this one.';
COMMENT ON COLUMN event.device IS 'Till, terminal or workstation.';
COMMENT ON COLUMN event.business_date IS 'Trading day that the source books it to.';

-- An amendment may come before its target: then nothing in the target's facts names its position.
CREATE TABLE amendment (
    tenant          text   NOT NULL,
    position        bigint NOT NULL,
    target_source   text   NOT NULL,
    target_event_id text   NOT NULL,
    CONSTRAINT amendment_pkey PRIMARY KEY (tenant, target_source, target_event_id, position),
    CONSTRAINT amendment_event_fkey FOREIGN KEY (tenant, position) REFERENCES event (tenant, position) NOT ENFORCED
);
COMMENT ON TABLE amendment IS 'Which event each correction and retraction amends; the target may not have come yet.';
COMMENT ON COLUMN amendment.tenant IS 'Who it belongs to.';
COMMENT ON COLUMN amendment.position IS 'Position of the correction or retraction.';
COMMENT ON COLUMN amendment.target_source IS 'The source of the amended event.';
COMMENT ON COLUMN amendment.target_event_id IS 'The source''s id of the amended event.';

CREATE TABLE parked_event (
    tenant   text   NOT NULL,
    position bigint NOT NULL,
    reason   text   NOT NULL,
    CONSTRAINT parked_event_pkey PRIMARY KEY (tenant, position)
);
COMMENT ON TABLE parked_event IS 'Events that are in no fact because this release can not read them. The stream went on.';
COMMENT ON COLUMN parked_event.tenant IS 'Who it belongs to.';
COMMENT ON COLUMN parked_event.position IS 'Position of the event.';
COMMENT ON COLUMN parked_event.reason IS 'What could not be read or stored.';

-- What was decided about recovery cases. Decisions are never amended: one is known from its position on.
CREATE TABLE case_decision (
    tenant           text        NOT NULL,
    position         bigint      NOT NULL,
    case_id          text        NOT NULL,
    decision         text        NOT NULL,
    decided_at       timestamptz NOT NULL,
    touchpoint       text,
    customer         text,
    correlation_id   text,
    severity         text,
    failure_source   text,
    failure_event_id text,
    result           text,
    reason           text,
    of_event         boolean     NOT NULL DEFAULT false,
    CONSTRAINT case_decision_pkey PRIMARY KEY (tenant, position),
    CONSTRAINT case_decision_event_fkey FOREIGN KEY (tenant, position) REFERENCES event (tenant, position) NOT ENFORCED
);
COMMENT ON TABLE case_decision IS 'What was decided about recovery cases, in the order of positions.';
COMMENT ON COLUMN case_decision.tenant IS 'Who it belongs to.';
COMMENT ON COLUMN case_decision.position IS 'Position of the decision.';
COMMENT ON COLUMN case_decision.case_id IS 'The case.';
COMMENT ON COLUMN case_decision.decision IS 'opened, acknowledged, remedied, remedy_retracted, goodwill_given, closed or reopened.';
COMMENT ON COLUMN case_decision.decided_at IS 'When, on the clock of the service that decides.';
COMMENT ON COLUMN case_decision.touchpoint IS 'Where the company failed; only of an opening, here and below to failure_event_id.';
COMMENT ON COLUMN case_decision.customer IS 'The customer''s pseudonym, if known.';
COMMENT ON COLUMN case_decision.correlation_id IS 'What ties the events of the episode together.';
COMMENT ON COLUMN case_decision.severity IS 'minor, major, critical or unspecified.';
COMMENT ON COLUMN case_decision.failure_source IS 'Source of the event that told of the failure, if any.';
COMMENT ON COLUMN case_decision.failure_event_id IS 'Event id of the event that told of the failure, if any.';
COMMENT ON COLUMN case_decision.result IS 'accepted, refused or no_answer; only of a closing, if the customer said so.';
COMMENT ON COLUMN case_decision.reason IS 'Why it was closed or reopened, a word; only where it was said.';
COMMENT ON COLUMN case_decision.of_event IS 'Whether an event asked for it; else people decided it.';

-- What the catalogue declared, each decision with all that stood after it: dim_touchpoint and
-- dim_service_standard are the last of each. Decisions are never amended: one is known from its position on.
CREATE TABLE touchpoint_declaration (
    tenant              text        NOT NULL,
    touchpoint          text        NOT NULL,
    from_position       bigint      NOT NULL,
    to_position         bigint,
    declared_at         timestamptz NOT NULL,
    owner               text,
    stage               text,
    channel             text,
    weight              numeric(21, 6),
    wait_seconds_max    numeric(16, 6),
    answer_seconds_max  numeric(16, 6),
    resolve_seconds_max numeric(16, 6),
    standard_position   bigint,
    retired             boolean     NOT NULL,
    CONSTRAINT touchpoint_declaration_pkey PRIMARY KEY (tenant, touchpoint, from_position),
    CONSTRAINT touchpoint_declaration_event_fkey FOREIGN KEY (tenant, from_position)
        REFERENCES event (tenant, position) NOT ENFORCED,
    CONSTRAINT touchpoint_declaration_touchpoint_fkey FOREIGN KEY (tenant, touchpoint)
        REFERENCES dim_touchpoint (tenant, touchpoint) NOT ENFORCED
);
COMMENT ON TABLE touchpoint_declaration IS 'What the catalogue declared of touchpoints, and until when it stood: a row for each decision.';
COMMENT ON COLUMN touchpoint_declaration.tenant IS 'Who it belongs to.';
COMMENT ON COLUMN touchpoint_declaration.touchpoint IS 'The touchpoint.';
COMMENT ON COLUMN touchpoint_declaration.from_position IS 'Position of the decision.';
COMMENT ON COLUMN touchpoint_declaration.to_position IS 'Position of the next decision about it, from which on it does not stand; NULL while it does.';
COMMENT ON COLUMN touchpoint_declaration.declared_at IS 'When, on the clock of the service that decides.';
COMMENT ON COLUMN touchpoint_declaration.owner IS 'Who answers for it.';
COMMENT ON COLUMN touchpoint_declaration.stage IS 'Where on the journey it is.';
COMMENT ON COLUMN touchpoint_declaration.channel IS 'Through what.';
COMMENT ON COLUMN touchpoint_declaration.weight IS 'How much it counts among all touchpoints.';
COMMENT ON COLUMN touchpoint_declaration.wait_seconds_max IS 'Longest wait that the standard allows.';
COMMENT ON COLUMN touchpoint_declaration.answer_seconds_max IS 'Longest time to an answer that the standard allows.';
COMMENT ON COLUMN touchpoint_declaration.resolve_seconds_max IS 'Longest time to a resolution that the standard allows.';
COMMENT ON COLUMN touchpoint_declaration.standard_position IS 'Position of the decision that said which standard there is, or that there is none; NULL while none did.';
COMMENT ON COLUMN touchpoint_declaration.retired IS 'The catalogue has retired it.';

CREATE TABLE standard_declaration (
    tenant           text           NOT NULL,
    touchpoint       text           NOT NULL,
    position         bigint         NOT NULL,
    metric           text           NOT NULL,
    dimension        text           NOT NULL,
    value            numeric(21, 6) NOT NULL,
    scale_min        numeric(21, 6) NOT NULL,
    scale_max        numeric(21, 6) NOT NULL,
    higher_is_better boolean        NOT NULL,
    CONSTRAINT standard_declaration_pkey PRIMARY KEY (tenant, touchpoint, position, metric, dimension),
    CONSTRAINT standard_declaration_touchpoint_fkey FOREIGN KEY (tenant, touchpoint, position)
        REFERENCES touchpoint_declaration (tenant, touchpoint, from_position) NOT ENFORCED
);
COMMENT ON TABLE standard_declaration IS 'The mean answers of each standard that was ever declared: it is that of the declarations with its position as standard_position.';
COMMENT ON COLUMN standard_declaration.tenant IS 'Who it belongs to.';
COMMENT ON COLUMN standard_declaration.touchpoint IS 'The touchpoint.';
COMMENT ON COLUMN standard_declaration.position IS 'Position of the decision that declared it.';
COMMENT ON COLUMN standard_declaration.metric IS 'csat, nps, ces, rating, thumbs, sentiment, comparison or premium.';
COMMENT ON COLUMN standard_declaration.dimension IS 'What is judged; overall is the whole.';
COMMENT ON COLUMN standard_declaration.value IS 'The mean answer, exact, on its own scale.';
COMMENT ON COLUMN standard_declaration.scale_min IS 'The scale''s lowest answer.';
COMMENT ON COLUMN standard_declaration.scale_max IS 'The scale''s highest answer.';
COMMENT ON COLUMN standard_declaration.higher_is_better IS 'Which end of the scale is good.';

-- Facts. An event's fact is known from from_position (its own position, or that of the correction that says
-- it) up to, not including, to_position (that of the amendment that ended it). The facts as known at position
-- P are those with from_position <= P and (to_position IS NULL OR to_position > P). Table fact is only here for
-- the columns that all of them begin with.
CREATE TABLE fact (
    tenant          text        NOT NULL,
    event_position  bigint      NOT NULL,
    from_position   bigint      NOT NULL,
    to_position     bigint,
    occurred_at     timestamptz NOT NULL,
    occurred_date   date        NOT NULL,
    reporting_date  date        NOT NULL,
    touchpoint      text        NOT NULL,
    stage           text        NOT NULL,
    channel         text        NOT NULL,
    service_mode    text        NOT NULL,
    store           text        NOT NULL,
    source          text        NOT NULL,
    staff           text,
    customer        text,
    correlation_id  text
);

CREATE TABLE fact_interaction (
    LIKE fact,
    outcome         text NOT NULL,
    duration_seconds numeric(16, 6),
    wait_seconds    numeric(16, 6),
    amount          numeric(21, 6),
    currency        text,
    options_presented bigint,
    script          text,
    moment_of_truth boolean NOT NULL,
    CONSTRAINT fact_interaction_pkey PRIMARY KEY (tenant, from_position, event_position)
);
COMMENT ON TABLE fact_interaction IS 'Customer and company met. Current rows have to_position NULL.';
COMMENT ON COLUMN fact_interaction.outcome IS 'completed, resolved, abandoned, transferred, failed, returned or unspecified.';
COMMENT ON COLUMN fact_interaction.duration_seconds IS 'How long it took.';
COMMENT ON COLUMN fact_interaction.wait_seconds IS 'How long the customer waited before.';
COMMENT ON COLUMN fact_interaction.amount IS 'What was paid, exact; negative when money went back.';
COMMENT ON COLUMN fact_interaction.currency IS 'ISO 4217 code of amount.';
COMMENT ON COLUMN fact_interaction.options_presented IS 'How many options the customer was shown.';
COMMENT ON COLUMN fact_interaction.script IS 'The variant of words or procedure that staff followed.';
COMMENT ON COLUMN fact_interaction.moment_of_truth IS 'The source marks it as a moment that decides what the customer thinks of the company.';

CREATE TABLE fact_feedback_request (
    LIKE fact,
    decision        text NOT NULL,
    reason          text,
    survey          text,
    CONSTRAINT fact_feedback_request_pkey PRIMARY KEY (tenant, from_position, event_position)
);
COMMENT ON TABLE fact_feedback_request IS 'A customer was asked, or deliberately not. Current rows have to_position NULL.';
COMMENT ON COLUMN fact_feedback_request.decision IS 'requested or suppressed.';
COMMENT ON COLUMN fact_feedback_request.reason IS 'Why the customer was not asked.';
COMMENT ON COLUMN fact_feedback_request.survey IS 'The survey and its version.';

CREATE TABLE fact_feedback (
    LIKE fact,
    signal_index    integer NOT NULL,
    kind            text NOT NULL,
    request_id      text,
    metric          text,
    value           numeric(21, 6),
    scale_min       numeric(21, 6),
    scale_max       numeric(21, 6),
    higher_is_better boolean,
    dimension       text,
    question        text,
    model           text,
    about_source    text,
    about_event_id  text,
    CONSTRAINT fact_feedback_pkey PRIMARY KEY (tenant, from_position, event_position, signal_index)
);
COMMENT ON TABLE fact_feedback IS 'Feedback, one row for each measured answer in it; feedback in words alone has one row without metric. Current rows have to_position NULL.';
COMMENT ON COLUMN fact_feedback.signal_index IS '0 for the first row of a feedback, so that counting these counts feedback.';
COMMENT ON COLUMN fact_feedback.kind IS 'comment, complaint, compliment or unspecified.';
COMMENT ON COLUMN fact_feedback.request_id IS 'Event id of the request that it answers.';
COMMENT ON COLUMN fact_feedback.metric IS 'csat, nps, ces, rating, thumbs, sentiment, comparison or premium.';
COMMENT ON COLUMN fact_feedback.value IS 'The answer, exact, on its own scale.';
COMMENT ON COLUMN fact_feedback.scale_min IS 'The scale''s lowest answer.';
COMMENT ON COLUMN fact_feedback.scale_max IS 'The scale''s highest answer.';
COMMENT ON COLUMN fact_feedback.higher_is_better IS 'Which end of the scale is good.';
COMMENT ON COLUMN fact_feedback.dimension IS 'What was judged; NULL is the whole.';
COMMENT ON COLUMN fact_feedback.question IS 'The question''s id.';
COMMENT ON COLUMN fact_feedback.model IS 'The model that read a sentiment, with its version.';
COMMENT ON COLUMN fact_feedback.about_source IS 'The source of the interaction that it is about; NULL where the feedback names none.';
COMMENT ON COLUMN fact_feedback.about_event_id IS 'The source''s id of the interaction that it is about.';

CREATE TABLE fact_expectation (
    LIKE fact,
    basis           text NOT NULL,
    dimension       text,
    metric          text,
    value           numeric(21, 6),
    scale_min       numeric(21, 6),
    scale_max       numeric(21, 6),
    higher_is_better boolean,
    due_at          timestamptz,
    within_seconds  numeric(16, 6),
    CONSTRAINT fact_expectation_pkey PRIMARY KEY (tenant, from_position, event_position)
);
COMMENT ON TABLE fact_expectation IS 'What a customer expects or was promised. Current rows have to_position NULL.';
COMMENT ON COLUMN fact_expectation.basis IS 'survey, promise, sla or unspecified.';
COMMENT ON COLUMN fact_expectation.dimension IS 'What is expected; NULL is the whole.';
COMMENT ON COLUMN fact_expectation.metric IS 'Kind of the expected answer: csat, nps, ces, rating, thumbs, sentiment, comparison or premium.';
COMMENT ON COLUMN fact_expectation.value IS 'The expected answer, exact, on its own scale.';
COMMENT ON COLUMN fact_expectation.scale_min IS 'The scale''s lowest answer.';
COMMENT ON COLUMN fact_expectation.scale_max IS 'The scale''s highest answer.';
COMMENT ON COLUMN fact_expectation.higher_is_better IS 'Which end of the scale is good.';
COMMENT ON COLUMN fact_expectation.due_at IS 'Done by this moment.';
COMMENT ON COLUMN fact_expectation.within_seconds IS 'Done within this time.';

CREATE TABLE fact_recovery (
    LIKE fact,
    step            text NOT NULL,
    kind            text,
    severity        text,
    issue_code      text,
    result          text,
    amount          numeric(21, 6),
    currency        text,
    CONSTRAINT fact_recovery_pkey PRIMARY KEY (tenant, from_position, event_position)
);
COMMENT ON TABLE fact_recovery IS 'A step from a failure to its end. Current rows have to_position NULL.';
COMMENT ON COLUMN fact_recovery.step IS 'failure, remedy, goodwill or closed.';
COMMENT ON COLUMN fact_recovery.kind IS 'What the remedy or the gesture was.';
COMMENT ON COLUMN fact_recovery.severity IS 'minor, major, critical or unspecified; only of a failure.';
COMMENT ON COLUMN fact_recovery.issue_code IS 'The source''s code of what went wrong; only of a failure.';
COMMENT ON COLUMN fact_recovery.result IS 'accepted, refused, no_answer or unspecified; only of a closing.';
COMMENT ON COLUMN fact_recovery.amount IS 'What a remedy cost, or what a gesture is worth, exact.';
COMMENT ON COLUMN fact_recovery.currency IS 'ISO 4217 code of amount.';

CREATE TABLE fact_public_post (
    LIKE fact,
    platform        text NOT NULL,
    reach           numeric(20, 0) NOT NULL,
    sentiment       numeric(21, 6),
    scale_min       numeric(21, 6),
    scale_max       numeric(21, 6),
    higher_is_better boolean,
    model           text,
    post_id         text,
    reply_to_post_id text,
    by_company      boolean NOT NULL,
    CONSTRAINT fact_public_post_pkey PRIMARY KEY (tenant, from_position, event_position)
);
COMMENT ON TABLE fact_public_post IS 'Somebody spoke in public. Current rows have to_position NULL.';
COMMENT ON COLUMN fact_public_post.platform IS 'The network.';
COMMENT ON COLUMN fact_public_post.reach IS 'How many people it can reach, as the source counts them.';
COMMENT ON COLUMN fact_public_post.sentiment IS 'What was read out of it, exact, on its own scale.';
COMMENT ON COLUMN fact_public_post.scale_min IS 'The scale''s lowest value.';
COMMENT ON COLUMN fact_public_post.scale_max IS 'The scale''s highest value.';
COMMENT ON COLUMN fact_public_post.higher_is_better IS 'Which end of the scale is good.';
COMMENT ON COLUMN fact_public_post.model IS 'The model that read the sentiment, with its version.';
COMMENT ON COLUMN fact_public_post.post_id IS 'The post''s own id on the network.';
COMMENT ON COLUMN fact_public_post.reply_to_post_id IS 'The post that it answers.';
COMMENT ON COLUMN fact_public_post.by_company IS 'The company wrote it.';

CREATE TABLE fact_recognition (
    LIKE fact,
    given_by        text NOT NULL,
    interaction_id  text,
    CONSTRAINT fact_recognition_pkey PRIMARY KEY (tenant, from_position, event_position)
);
COMMENT ON TABLE fact_recognition IS 'A member of staff was recognised. Current rows have to_position NULL.';
COMMENT ON COLUMN fact_recognition.given_by IS 'customer, colleague, manager or another word.';
COMMENT ON COLUMN fact_recognition.interaction_id IS 'Event id of the interaction that it is for.';

CREATE TABLE fact_customer_profile (
    LIKE fact,
    segment_index   integer NOT NULL,
    birth_year_from integer,
    birth_year_to   integer,
    segment         text,
    value           text,
    CONSTRAINT fact_customer_profile_pkey PRIMARY KEY (tenant, from_position, event_position, segment_index)
);
COMMENT ON TABLE fact_customer_profile IS 'What is known of a customer from occurred_at on, one row for each named segment; segment_index 0 is always there. Current rows have to_position NULL.';
COMMENT ON COLUMN fact_customer_profile.segment_index IS '0 for the first row of a profile.';
COMMENT ON COLUMN fact_customer_profile.birth_year_from IS 'First year of the band that the year of birth is in; NULL when unknown.';
COMMENT ON COLUMN fact_customer_profile.birth_year_to IS 'Last year of that band.';
COMMENT ON COLUMN fact_customer_profile.segment IS 'Name of a segment, such as status.';
COMMENT ON COLUMN fact_customer_profile.value IS 'The customer''s segment of that name, such as gold.';

CREATE TABLE fact_staff_profile (
    LIKE fact,
    staff_group     text,
    cohort          text,
    job_design      text,
    CONSTRAINT fact_staff_profile_pkey PRIMARY KEY (tenant, from_position, event_position)
);
COMMENT ON TABLE fact_staff_profile IS 'Where a member of staff works from occurred_at on. Current rows have to_position NULL.';
COMMENT ON COLUMN fact_staff_profile.staff_group IS 'Team or department.';
COMMENT ON COLUMN fact_staff_profile.cohort IS 'Those who began together.';
COMMENT ON COLUMN fact_staff_profile.job_design IS 'Variant of the job''s design.';

CREATE TABLE fact_assessment (
    LIKE fact,
    signal_index    integer NOT NULL,
    assessor        text NOT NULL,
    within_sla      boolean,
    metric          text,
    value           numeric(21, 6),
    scale_min       numeric(21, 6),
    scale_max       numeric(21, 6),
    higher_is_better boolean,
    dimension       text,
    about_source    text,
    about_event_id  text,
    CONSTRAINT fact_assessment_pkey PRIMARY KEY (tenant, from_position, event_position, signal_index)
);
COMMENT ON TABLE fact_assessment IS 'Somebody other than the customer judged the work, one row for each measured answer; one without any has one row without metric. Current rows have to_position NULL.';
COMMENT ON COLUMN fact_assessment.signal_index IS '0 for the first row of an assessment, so that counting these counts assessments.';
COMMENT ON COLUMN fact_assessment.assessor IS 'quality, supervisor, system or another word.';
COMMENT ON COLUMN fact_assessment.within_sla IS 'The service level was kept; NULL when nobody looked.';
COMMENT ON COLUMN fact_assessment.metric IS 'csat, nps, ces, rating, thumbs, sentiment, comparison or premium.';
COMMENT ON COLUMN fact_assessment.value IS 'The answer, exact, on its own scale.';
COMMENT ON COLUMN fact_assessment.scale_min IS 'The scale''s lowest answer.';
COMMENT ON COLUMN fact_assessment.scale_max IS 'The scale''s highest answer.';
COMMENT ON COLUMN fact_assessment.higher_is_better IS 'Which end of the scale is good.';
COMMENT ON COLUMN fact_assessment.dimension IS 'What was judged; NULL is the whole.';
COMMENT ON COLUMN fact_assessment.about_source IS 'The source of the interaction that it is about; NULL where none is named.';
COMMENT ON COLUMN fact_assessment.about_event_id IS 'The source''s id of the interaction that it is about.';

CREATE TABLE fact_reason (
    LIKE fact,
    issue_code      text NOT NULL,
    reason_code     text NOT NULL,
    CONSTRAINT fact_reason_pkey PRIMARY KEY (tenant, from_position, event_position)
);
COMMENT ON TABLE fact_reason IS 'Why a customer came, in the end. Current rows have to_position NULL.';
COMMENT ON COLUMN fact_reason.issue_code IS 'The source''s code of the issue.';
COMMENT ON COLUMN fact_reason.reason_code IS 'The source''s code of the reason behind it.';

CREATE TABLE fact_insight (
    LIKE fact,
    insight_id      text NOT NULL,
    step            text NOT NULL,
    about_source    text,
    about_event_id  text,
    CONSTRAINT fact_insight_pkey PRIMARY KEY (tenant, from_position, event_position)
);
COMMENT ON TABLE fact_insight IS 'What a member of staff found out, or made use of. Current rows have to_position NULL.';
COMMENT ON COLUMN fact_insight.insight_id IS 'The same where it is captured and where it is applied.';
COMMENT ON COLUMN fact_insight.step IS 'captured or applied.';
COMMENT ON COLUMN fact_insight.about_source IS 'The source of the interaction; NULL where none is named.';
COMMENT ON COLUMN fact_insight.about_event_id IS 'The source''s id of the interaction in which it was captured or applied.';

CREATE TABLE fact_advice (
    LIKE fact,
    option_index    integer NOT NULL,
    item            text NOT NULL,
    chosen          boolean NOT NULL,
    CONSTRAINT fact_advice_pkey PRIMARY KEY (tenant, from_position, event_position, option_index)
);
COMMENT ON TABLE fact_advice IS 'What was put before a customer to choose from, one row for each option. Current rows have to_position NULL.';
COMMENT ON COLUMN fact_advice.option_index IS '0 for the option that the adviser put first, so that counting these counts advice.';
COMMENT ON COLUMN fact_advice.item IS 'The item.';
COMMENT ON COLUMN fact_advice.chosen IS 'The customer took it.';

CREATE TABLE fact_product_follow_up (
    LIKE fact,
    item            text NOT NULL,
    kept            boolean,
    usable          boolean,
    happy           boolean,
    CONSTRAINT fact_product_follow_up_pkey PRIMARY KEY (tenant, from_position, event_position)
);
COMMENT ON TABLE fact_product_follow_up IS 'How a customer fares with what was bought. Current rows have to_position NULL.';
COMMENT ON COLUMN fact_product_follow_up.item IS 'The item, as in fact_advice.';
COMMENT ON COLUMN fact_product_follow_up.kept IS 'Kept, or given back; NULL when not known.';
COMMENT ON COLUMN fact_product_follow_up.usable IS 'The customer is able to use it; NULL when not known.';
COMMENT ON COLUMN fact_product_follow_up.happy IS 'The customer is happy with the choice; NULL when not known.';

CREATE TABLE fact_post_removal (
    LIKE fact,
    platform        text NOT NULL,
    post_id         text NOT NULL,
    CONSTRAINT fact_post_removal_pkey PRIMARY KEY (tenant, from_position, event_position)
);
COMMENT ON TABLE fact_post_removal IS 'A public post is no longer there; that it was stays in fact_public_post. Current rows have to_position NULL.';
COMMENT ON COLUMN fact_post_removal.platform IS 'The network.';
COMMENT ON COLUMN fact_post_removal.post_id IS 'The post''s own id on the network.';

CREATE TABLE fact_service_claim (
    LIKE fact,
    metric          text NOT NULL,
    value           numeric(21, 6) NOT NULL,
    scale_min       numeric(21, 6) NOT NULL,
    scale_max       numeric(21, 6) NOT NULL,
    higher_is_better boolean NOT NULL,
    dimension       text,
    CONSTRAINT fact_service_claim_pkey PRIMARY KEY (tenant, from_position, event_position)
);
COMMENT ON TABLE fact_service_claim IS 'What the owner of a touchpoint says that customers answer on average. Current rows have to_position NULL.';
COMMENT ON COLUMN fact_service_claim.metric IS 'csat, nps, ces, rating, thumbs, sentiment, comparison or premium.';
COMMENT ON COLUMN fact_service_claim.value IS 'The claimed mean answer, exact, on its own scale.';
COMMENT ON COLUMN fact_service_claim.scale_min IS 'The scale''s lowest answer.';
COMMENT ON COLUMN fact_service_claim.scale_max IS 'The scale''s highest answer.';
COMMENT ON COLUMN fact_service_claim.higher_is_better IS 'Which end of the scale is good.';
COMMENT ON COLUMN fact_service_claim.dimension IS 'What is claimed of; NULL is the whole.';

CREATE TABLE fact_front_line (
    LIKE fact,
    step            text NOT NULL,
    kind            text,
    metric          text,
    value           numeric(21, 6),
    scale_min       numeric(21, 6),
    scale_max       numeric(21, 6),
    higher_is_better boolean,
    dimension       text,
    amount          numeric(21, 6),
    currency        text,
    approval_needed boolean NOT NULL,
    staff_group     text,
    CONSTRAINT fact_front_line_pkey PRIMARY KEY (tenant, from_position, event_position)
);
COMMENT ON TABLE fact_front_line IS 'How the front line fares, and what was done for it. Current rows have to_position NULL.';
COMMENT ON COLUMN fact_front_line.step IS 'pulse, decision, manager_contact, feedback or training.';
COMMENT ON COLUMN fact_front_line.kind IS 'The course, the level of the manager, or the kind of decision.';
COMMENT ON COLUMN fact_front_line.metric IS 'Of a pulse: csat, nps, ces, rating, thumbs, sentiment, comparison or premium.';
COMMENT ON COLUMN fact_front_line.value IS 'The answer to a pulse, exact, on its own scale.';
COMMENT ON COLUMN fact_front_line.scale_min IS 'The scale''s lowest answer.';
COMMENT ON COLUMN fact_front_line.scale_max IS 'The scale''s highest answer.';
COMMENT ON COLUMN fact_front_line.higher_is_better IS 'Which end of the scale is good.';
COMMENT ON COLUMN fact_front_line.dimension IS 'What was asked, such as passion; NULL is the whole.';
COMMENT ON COLUMN fact_front_line.amount IS 'What a decision was worth to the customer, exact.';
COMMENT ON COLUMN fact_front_line.currency IS 'ISO 4217 code of amount.';
COMMENT ON COLUMN fact_front_line.approval_needed IS 'Somebody else had to allow the decision.';
COMMENT ON COLUMN fact_front_line.staff_group IS 'The team as the event names it; NULL where it names a member of staff alone.';

CREATE TABLE fact_identity (
    LIKE fact,
    same_as         text NOT NULL,
    relation        text NOT NULL,
    CONSTRAINT fact_identity_pkey PRIMARY KEY (tenant, from_position, event_position)
);
COMMENT ON TABLE fact_identity IS 'Two references are of one customer, or are not. Current rows have to_position NULL.';
COMMENT ON COLUMN fact_identity.same_as IS 'Pseudonym of the other reference.';
COMMENT ON COLUMN fact_identity.relation IS 'same or different; the last one by occurred_at counts for the two.';

CREATE TABLE fact_scenario (
    LIKE fact,
    scenario        text NOT NULL,
    loss_percent    numeric(21, 6) NOT NULL,
    competitor_percent numeric(21, 6) NOT NULL,
    revenue         numeric(21, 6),
    currency        text,
    margin_percent  numeric(21, 6),
    discount_percent numeric(21, 6) NOT NULL,
    years           integer NOT NULL,
    CONSTRAINT fact_scenario_pkey PRIMARY KEY (tenant, from_position, event_position)
);
COMMENT ON TABLE fact_scenario IS 'What is assumed, to reckon with: nothing of it was observed. Current rows have to_position NULL.';
COMMENT ON COLUMN fact_scenario.scenario IS 'Its name; the last one of a name by occurred_at counts.';
COMMENT ON COLUMN fact_scenario.loss_percent IS 'How many of every hundred customers leave.';
COMMENT ON COLUMN fact_scenario.competitor_percent IS 'How much of what they would have spent goes to competitors, in percent.';
COMMENT ON COLUMN fact_scenario.revenue IS 'Revenue of a year, exact; NULL where it is what was observed.';
COMMENT ON COLUMN fact_scenario.currency IS 'ISO 4217 code of revenue.';
COMMENT ON COLUMN fact_scenario.margin_percent IS 'What is left of revenue after costs, in percent; NULL where nothing is assumed.';
COMMENT ON COLUMN fact_scenario.discount_percent IS 'What next year''s money is worth less, in percent a year.';
COMMENT ON COLUMN fact_scenario.years IS 'Over how many years a customer''s worth is reckoned; 0 is until the customer leaves.';

-- Sums and counts of the current facts, never averages, so that any tool may add them up. A column for each sum
-- of each metric (services/scoring/metrics) is added when the model is made, and the views over it as well.
CREATE TABLE rollup_day (
    tenant         text NOT NULL,
    reporting_date date NOT NULL,
    touchpoint     text NOT NULL,
    stage          text NOT NULL,
    channel        text NOT NULL,
    service_mode   text NOT NULL,
    store          text NOT NULL,
    staff_group    text NOT NULL,
    generation     text NOT NULL,
    source         text NOT NULL,
    facts          bigint NOT NULL,
    CONSTRAINT rollup_day_pkey PRIMARY KEY (tenant, reporting_date, touchpoint, stage, channel, service_mode, store, staff_group, generation, source),
    CONSTRAINT rollup_day_reporting_date_fkey FOREIGN KEY (reporting_date)
        REFERENCES dim_date (date_key) NOT ENFORCED,
    CONSTRAINT rollup_day_generation_fkey FOREIGN KEY (generation)
        REFERENCES dim_generation (generation) NOT ENFORCED,
    CONSTRAINT rollup_day_stage_fkey FOREIGN KEY (stage) REFERENCES dim_stage (stage) NOT ENFORCED,
    CONSTRAINT rollup_day_channel_fkey FOREIGN KEY (channel) REFERENCES dim_channel (channel) NOT ENFORCED,
    CONSTRAINT rollup_day_touchpoint_fkey FOREIGN KEY (tenant, touchpoint)
        REFERENCES dim_touchpoint (tenant, touchpoint) NOT ENFORCED
);
COMMENT ON TABLE rollup_day IS 'What happened on a reporting day, by everything that scores are grouped by: sums and counts of the current facts.';
CREATE TABLE rollup_touchpoint_day (
    tenant         text NOT NULL,
    reporting_date date NOT NULL,
    touchpoint     text NOT NULL,
    stage          text NOT NULL,
    channel        text NOT NULL,
    facts          bigint NOT NULL,
    CONSTRAINT rollup_touchpoint_day_pkey PRIMARY KEY (tenant, reporting_date, touchpoint, stage, channel),
    CONSTRAINT rollup_touchpoint_day_reporting_date_fkey FOREIGN KEY (reporting_date)
        REFERENCES dim_date (date_key) NOT ENFORCED,
    CONSTRAINT rollup_touchpoint_day_stage_fkey FOREIGN KEY (stage) REFERENCES dim_stage (stage) NOT ENFORCED,
    CONSTRAINT rollup_touchpoint_day_channel_fkey FOREIGN KEY (channel) REFERENCES dim_channel (channel) NOT ENFORCED,
    CONSTRAINT rollup_touchpoint_day_touchpoint_fkey FOREIGN KEY (tenant, touchpoint)
        REFERENCES dim_touchpoint (tenant, touchpoint) NOT ENFORCED
);
COMMENT ON TABLE rollup_touchpoint_day IS 'What happened at a touchpoint on a reporting day: sums and counts of the current facts.';
CREATE TABLE rollup_touchpoint_week (
    tenant         text NOT NULL,
    week_start     date NOT NULL,
    touchpoint     text NOT NULL,
    stage          text NOT NULL,
    channel        text NOT NULL,
    facts          bigint NOT NULL,
    CONSTRAINT rollup_touchpoint_week_pkey PRIMARY KEY (tenant, week_start, touchpoint, stage, channel),
    CONSTRAINT rollup_touchpoint_week_stage_fkey FOREIGN KEY (stage) REFERENCES dim_stage (stage) NOT ENFORCED,
    CONSTRAINT rollup_touchpoint_week_channel_fkey FOREIGN KEY (channel) REFERENCES dim_channel (channel) NOT ENFORCED,
    CONSTRAINT rollup_touchpoint_week_touchpoint_fkey FOREIGN KEY (tenant, touchpoint)
        REFERENCES dim_touchpoint (tenant, touchpoint) NOT ENFORCED
);
COMMENT ON TABLE rollup_touchpoint_week IS 'What happened at a touchpoint in a week of reporting days, from Monday: sums and counts of the current facts.';
CREATE TABLE rollup_touchpoint_month (
    tenant         text NOT NULL,
    month_start    date NOT NULL,
    touchpoint     text NOT NULL,
    stage          text NOT NULL,
    channel        text NOT NULL,
    facts          bigint NOT NULL,
    CONSTRAINT rollup_touchpoint_month_pkey PRIMARY KEY (tenant, month_start, touchpoint, stage, channel),
    CONSTRAINT rollup_touchpoint_month_stage_fkey FOREIGN KEY (stage) REFERENCES dim_stage (stage) NOT ENFORCED,
    CONSTRAINT rollup_touchpoint_month_channel_fkey FOREIGN KEY (channel) REFERENCES dim_channel (channel) NOT ENFORCED,
    CONSTRAINT rollup_touchpoint_month_touchpoint_fkey FOREIGN KEY (tenant, touchpoint)
        REFERENCES dim_touchpoint (tenant, touchpoint) NOT ENFORCED
);
COMMENT ON TABLE rollup_touchpoint_month IS 'What happened at a touchpoint in a month of reporting days: sums and counts of the current facts.';
CREATE TABLE rollup_touchpoint_year (
    tenant         text NOT NULL,
    year_start    date NOT NULL,
    touchpoint     text NOT NULL,
    stage          text NOT NULL,
    channel        text NOT NULL,
    facts          bigint NOT NULL,
    CONSTRAINT rollup_touchpoint_year_pkey PRIMARY KEY (tenant, year_start, touchpoint, stage, channel),
    CONSTRAINT rollup_touchpoint_year_stage_fkey FOREIGN KEY (stage) REFERENCES dim_stage (stage) NOT ENFORCED,
    CONSTRAINT rollup_touchpoint_year_channel_fkey FOREIGN KEY (channel) REFERENCES dim_channel (channel) NOT ENFORCED,
    CONSTRAINT rollup_touchpoint_year_touchpoint_fkey FOREIGN KEY (tenant, touchpoint)
        REFERENCES dim_touchpoint (tenant, touchpoint) NOT ENFORCED
);
COMMENT ON TABLE rollup_touchpoint_year IS 'What happened at a touchpoint in a year of reporting days: sums and counts of the current facts.';
CREATE INDEX rollup_day_empty_idx ON rollup_day (facts) WHERE facts = 0;
CREATE INDEX rollup_touchpoint_day_empty_idx ON rollup_touchpoint_day (facts) WHERE facts = 0;
CREATE INDEX rollup_touchpoint_week_empty_idx ON rollup_touchpoint_week (facts) WHERE facts = 0;
CREATE INDEX rollup_touchpoint_month_empty_idx ON rollup_touchpoint_month (facts) WHERE facts = 0;
CREATE INDEX rollup_touchpoint_year_empty_idx ON rollup_touchpoint_year (facts) WHERE facts = 0;

DROP TABLE fact;
-- Keys and indexes of all facts. The primary key serves reading a page's new facts and reading as of a position.
-- Amended facts are few, so what finds them is partial and costs the others nothing: the facts that an
-- amendment ends are those of the event itself (from_position = event_position, found by the key) or those
-- that an earlier correction put in their place; and the rollups take out what a page ended. What finds a customer's
-- and a member of staff's facts comes later (lookups.sql).
-- The days around a moment that is no midnight are no rollup's; the journal follows the calendar but for late
-- arrivals, so that some bytes for each 32 pages find them.
DO $$
DECLARE
    fact text;
BEGIN
    FOR fact IN
        SELECT table_name FROM information_schema.tables
         WHERE table_schema = current_schema() AND table_name LIKE 'fact\_%'
    LOOP
        EXECUTE replace($keys$
            ALTER TABLE @
                ADD CONSTRAINT @_event_fkey FOREIGN KEY (tenant, event_position)
                    REFERENCES event (tenant, position) NOT ENFORCED,
                ADD CONSTRAINT @_touchpoint_fkey FOREIGN KEY (tenant, touchpoint)
                    REFERENCES dim_touchpoint (tenant, touchpoint) NOT ENFORCED,
                ADD CONSTRAINT @_stage_fkey FOREIGN KEY (stage) REFERENCES dim_stage (stage) NOT ENFORCED,
                ADD CONSTRAINT @_channel_fkey FOREIGN KEY (channel)
                    REFERENCES dim_channel (channel) NOT ENFORCED,
                ADD CONSTRAINT @_occurred_date_fkey FOREIGN KEY (occurred_date)
                    REFERENCES dim_date (date_key) NOT ENFORCED,
                ADD CONSTRAINT @_reporting_date_fkey FOREIGN KEY (reporting_date)
                    REFERENCES dim_date (date_key) NOT ENFORCED;
            CREATE INDEX @_corrected_idx ON @ (tenant, event_position) WHERE from_position <> event_position;
            CREATE INDEX @_ended_idx ON @ (tenant, to_position) WHERE to_position IS NOT NULL;
            CREATE INDEX @_reporting_date_idx ON @ USING brin (reporting_date)
                WITH (pages_per_range = 32, autosummarize = on)
        $keys$, '@', fact);
    END LOOP;
END
$$;

-- What fact tables and rollups share.
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
              ('reporting_date', 'The day of occurred_at in the tenant''s reporting zone.'),
              ('touchpoint', 'Where customer and company met; unspecified when the event names none.'),
              ('stage', 'Where on the journey: a key of dim_stage.'),
              ('channel', 'Through what: a key of dim_channel.'),
              ('service_mode', 'Who did the work: self, assisted, advised or unspecified.'),
              ('store', 'Store or site; unspecified when the event names none.'),
              ('source', 'The system that published the event.'),
              ('staff', 'The source''s reference of the member of staff.'),
              ('customer', 'Pseudonym of the customer.'),
              ('correlation_id', 'Ties the events of one journey together.'),
              ('week_start', 'The Monday that the week of reporting dates begins with.'),
              ('month_start', 'The first of the month of reporting dates.'),
              ('year_start', 'The first of January of the year of reporting dates.'),
              ('staff_group', 'Team of the member of staff at that time; unspecified when not known.'),
              ('generation', 'Generation of the customer: a key of dim_generation.'),
              ('facts', 'How many facts the sums are of.')
          ) AS t (column_name, meaning) USING (column_name)
         WHERE c.table_schema = current_schema() AND (c.table_name LIKE 'fact\_%' OR c.table_name LIKE 'rollup\_%')
           AND (c.table_name, c.column_name) <> ('fact_front_line', 'staff_group')
    LOOP
        EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', shared.table_name, shared.column_name, shared.meaning);
    END LOOP;
END
$$;

-- The functions of scores. Intervals are of 95 %, and NULL when nobody answered: z = 1.959963984540054, and 3.84…,
-- 1.92… and 0.96… are z², z²/2 and z²/4. Those in SQL are single expressions, so that the planner puts them into
-- the statement. Those in PL/pgSQL call none of this schema, as its name changes.

-- Interval of a share, Wilson 1927 (JASA 22).
CREATE FUNCTION wilson_lower(successes bigint, answered bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN successes = 0 AND answered > 0 THEN 0
            WHEN successes BETWEEN 0 AND answered AND answered > 0
            THEN greatest(0, (successes + 1.920729410347062::double precision
                              - 1.959963984540054::double precision
                                * sqrt(successes::double precision * (answered - successes) / answered
                                       + 0.960364705173531::double precision))
                             / (answered + 3.841458820694124::double precision))
       END;
COMMENT ON FUNCTION wilson_lower(bigint, bigint) IS 'Lower bound of successes/answered: Wilson score interval, 95 %. NULL when successes is more than answered.';
CREATE FUNCTION wilson_upper(successes bigint, answered bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN successes = answered AND answered > 0 THEN 1
            WHEN successes BETWEEN 0 AND answered AND answered > 0
            THEN least(1, (successes + 1.920729410347062::double precision
                           + 1.959963984540054::double precision
                             * sqrt(successes::double precision * (answered - successes) / answered
                                    + 0.960364705173531::double precision))
                          / (answered + 3.841458820694124::double precision))
       END;
COMMENT ON FUNCTION wilson_upper(bigint, bigint) IS 'Upper bound of successes/answered: Wilson score interval, 95 %. NULL when successes is more than answered.';

-- For comparison with tools that use it: Agresti and Coull 1998 (Am. Stat. 52), within 0 to 1.
CREATE FUNCTION agresti_coull_lower(successes bigint, answered bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN successes BETWEEN 0 AND answered AND answered > 0
            THEN greatest(0, (successes + 1.920729410347062::double precision
                              - 1.959963984540054::double precision
                                * sqrt((successes + 1.920729410347062::double precision)
                                       * (answered - successes + 1.920729410347062::double precision)
                                       / (answered + 3.841458820694124::double precision)))
                             / (answered + 3.841458820694124::double precision))
       END;
COMMENT ON FUNCTION agresti_coull_lower(bigint, bigint) IS 'Lower bound of successes/answered: Agresti-Coull interval, 95 %. No score uses it.';
CREATE FUNCTION agresti_coull_upper(successes bigint, answered bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN successes BETWEEN 0 AND answered AND answered > 0
            THEN least(1, (successes + 1.920729410347062::double precision
                           + 1.959963984540054::double precision
                             * sqrt((successes + 1.920729410347062::double precision)
                                    * (answered - successes + 1.920729410347062::double precision)
                                    / (answered + 3.841458820694124::double precision)))
                          / (answered + 3.841458820694124::double precision))
       END;
COMMENT ON FUNCTION agresti_coull_upper(bigint, bigint) IS 'Upper bound of successes/answered: Agresti-Coull interval, 95 %. No score uses it.';

-- Interval of a rate of counts, from the score test of a Poisson rate: Barker 2002 (Am. Stat. 56(2)).
CREATE FUNCTION poisson_lower(events bigint, exposure bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN events = 0 AND exposure > 0 THEN 0
            WHEN events > 0 AND exposure > 0
            THEN (events + 1.920729410347062::double precision
                  - 1.959963984540054::double precision * sqrt(events + 0.960364705173531::double precision))
                 / exposure
       END;
COMMENT ON FUNCTION poisson_lower(bigint, bigint) IS 'Lower bound of the rate events/exposure: Poisson score interval, 95 %.';
CREATE FUNCTION poisson_upper(events bigint, exposure bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN events >= 0 AND exposure > 0
            THEN (events + 1.920729410347062::double precision
                  + 1.959963984540054::double precision * sqrt(events + 0.960364705173531::double precision))
                 / exposure
       END;
COMMENT ON FUNCTION poisson_upper(bigint, bigint) IS 'Upper bound of the rate events/exposure: Poisson score interval, 95 %.';

-- An answer counts 1, 0 or -1: Var = p + d - (p - d)².
CREATE FUNCTION nps_variance(promoters bigint, detractors bigint, answered bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN answered > 0
            THEN greatest(0, (answered::double precision * (promoters + detractors)
                              - (promoters - detractors)::double precision * (promoters - detractors))
                             / (answered::double precision * answered))
       END;
COMMENT ON FUNCTION nps_variance(bigint, bigint, bigint) IS 'Variance of one answer that counts 1 for a promoter, -1 for a detractor, else 0.';
-- Adjusted Wald, Rocks 2016 (Am. Stat. 70(4)): three quarters are added to promoters and to detractors, one
-- and a half to the rest. The plain standard error is 0 when all answers agree.
CREATE FUNCTION nps_bound(promoters bigint, detractors bigint, answered bigint, z double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN answered > 0
            THEN greatest(-100, least(100, 100 * (
                     (promoters - detractors)::double precision / (answered + 3)
                     + z * sqrt(greatest(0, (promoters + detractors + 1.5::double precision) / (answered + 3)
                                            - (promoters - detractors)::double precision / (answered + 3)
                                              * ((promoters - detractors)::double precision / (answered + 3)))
                                / (answered + 3)))))
       END;
COMMENT ON FUNCTION nps_bound(bigint, bigint, bigint, double precision) IS 'Bound of the net promoter score, adjusted Wald, within -100 to 100: z is -1.959963984540054 for the lower and 1.959963984540054 for the upper one of 95 %.';

-- Student 1908: mean ± t·s/√n with n - 1 degrees of freedom. The quantiles of t up to 40 are listed; beyond,
-- Abramowitz and Stegun 26.7.5 is right to 8e-9.
CREATE FUNCTION mean_bound(total numeric, squares numeric, answered bigint, side integer, scale_end double precision)
RETURNS double precision
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    degrees double precision := answered - 1;
    t double precision;
    bound double precision;
BEGIN
    -- One answer has no spread.
    IF answered < 2 THEN
        RETURN NULL;
    ELSIF answered <= 41 THEN
        t := ('{12.706204736174705, 4.3026527297494639, 3.1824463052837096, 2.7764451051977944,
                2.5705818356363155, 2.44691185114497, 2.3646242515927853, 2.3060041352041667,
                2.2621571627982055, 2.2281388519862747, 2.2009851600916399, 2.1788128296672289,
                2.1603686564627925, 2.1447866879178038, 2.1314495455597757, 2.1199052992212547,
                2.1098155778333171, 2.1009220402410385, 2.0930240544083098, 2.0859634472658648,
                2.0796138447276804, 2.0738730679040262, 2.0686576104190487, 2.0638985616280258,
                2.0595385527532977, 2.0555294386428732, 2.0518305164802856, 2.0484071417952452,
                2.0452296421327043, 2.0422724563012383, 2.0395134463964085, 2.036933343460102,
                2.0345152974493387, 2.032244509317719, 2.0301079282503432, 2.0280940009804509,
                2.0261924630291098, 2.0243941639119696, 2.0226909200367611, 2.0210753903062734
               }'::double precision[])[answered - 1];
    ELSE
        t := 1.959963984540054 + (2.37227123029856278 + (2.8224986157396118 + (2.55584967950772333
             + 1.58953405339382354 / degrees) / degrees) / degrees) / degrees;
    END IF;
    -- Exact up to the root: n·Σx² - (Σx)² is never below 0.
    bound := (total / answered)::double precision
             + side * t * sqrt((answered * squares - total * total)::double precision
                               / (answered::double precision * answered * degrees));
    RETURN CASE WHEN side < 0 THEN greatest(bound, scale_end) ELSE least(bound, scale_end) END;
END
$$;
COMMENT ON FUNCTION mean_bound(numeric, numeric, bigint, integer, double precision) IS 'Bound of the mean of answers from their sum and the sum of their squares, t interval, 95 %: side is -1 with the lowest answer of the scale, or 1 with the highest. NULL for a single answer.';

-- The x at which the regularised incomplete beta function I_x(a, b) is p. Start: Abramowitz and Stegun 26.5.22
-- and 26.2.22, or 26.2.49 where a and b are large. Then steps of Halley within a bracket. I_x is the continued fraction of DiDonato and Morris 1992
-- (ACM TOMS 18(3)), evaluated forwards by Lentz.
CREATE FUNCTION beta_quantile(p double precision, a double precision, b double precision) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    low double precision := 0;
    high double precision := 1;
    x double precision;
    moved double precision;
    -- Of logarithms below this the exponential may run out of range, which PostgreSQL makes an error.
    smallest CONSTANT double precision := -300;
    log_beta double precision;
    deviation double precision;
    r double precision;
    s double precision;
    factor double precision;
    -- The tail that is summed up is I_y(u, v); that of x, or what is left of it.
    from_below boolean;
    u double precision;
    v double precision;
    y double precision;
    above double precision;
    below double precision;
    c double precision;
    d double precision;
    f double precision;
    step double precision;
    z double precision;
    q double precision;
    i double precision;
    j double precision;
    variance double precision;
    skewness double precision;
    kurtosis double precision;
    fifth double precision;
    sixth double precision;
BEGIN
    IF NOT (p > 0 AND p < 1 AND a > 0 AND b > 0) THEN
        RETURN NULL;
    END IF;
    log_beta := lgamma(a) + lgamma(b) - lgamma(a + b);
    deviation := sqrt(a * b / (a + b + 1)) / (a + b);
    IF least(a, b) >= 20 AND p BETWEEN 0.001 AND 0.999 THEN
        -- The logarithm of x / (1 - x) is nearly normal. z: two steps of Halley after 26.2.22.
        r := sqrt(-2 * ln(least(p, 1 - p)));
        z := r - (2.30753 + 0.27061 * r) / (1 + r * (0.99229 + 0.04481 * r));
        z := CASE WHEN p < 0.5 THEN -z ELSE z END;
        FOR round IN 1..2 LOOP
            r := (erfc(-z / 1.4142135623730951) / 2 - p) * 2.5066282746310002 * exp(z * z / 2);
            z := z - r / (1 + z * r / 2);
        END LOOP;
        -- Its cumulants are differences and sums of polygamma functions of a and b: 6.3.18 and 6.4.11.
        q := z * z;
        i := 1 / a;
        j := 1 / b;
        variance := i * (1 + i * (0.5 + i * (1 - i * i * (0.2 - i * i / 7)) / 6))
                    + j * (1 + j * (0.5 + j * (1 - j * j * (0.2 - j * j / 7)) / 6));
        s := sqrt(variance);
        skewness := (j * j * (1 + j * (1 + j * (0.5 - j * j / 6)))
                     - i * i * (1 + i * (1 + i * (0.5 - i * i / 6)))) / (variance * s);
        kurtosis := (i * i * i * (2 + i * (3 + i * (2 - i * i))) + j * j * j * (2 + j * (3 + j * (2 - j * j))))
                    / (variance * variance);
        fifth := (j * j * j * j * (6 + j * (12 + j * 10)) - i * i * i * i * (6 + i * (12 + i * 10)))
                 / (variance * variance * s);
        sixth := (i * i * i * i * i * (24 + i * (60 + i * 60)) + j * j * j * j * j * (24 + j * (60 + j * 60)))
                 / (variance * variance * variance);
        -- Cornish and Fisher: 26.2.49.
        z := z + skewness * (q - 1) / 6
             + z * (kurtosis * (q - 3) / 24 - skewness * skewness * (2 * q - 5) / 36)
             + fifth * ((q - 6) * q + 3) / 120 - skewness * kurtosis * ((q - 5) * q + 2) / 24
             + skewness * skewness * skewness * ((12 * q - 53) * q + 17) / 324
             + z * (sixth * ((q - 10) * q + 15) / 720 - kurtosis * kurtosis * ((3 * q - 24) * q + 29) / 384
                    - skewness * fifth * ((2 * q - 17) * q + 21) / 180
                    + skewness * skewness * kurtosis * ((14 * q - 103) * q + 107) / 288
                    - skewness * skewness * skewness * skewness * ((252 * q - 1688) * q + 1511) / 7776);
        x := 1 / (1 + b / a * exp(i * (0.5 + i * (1 - i * i * (0.1 - i * i / 21)) / 12)
                                  - j * (0.5 + j * (1 - j * j * (0.1 - j * j / 21)) / 12) - s * z));
        -- The error left is below 3e-10. Ranks are asked for of many touchpoints at once: a round takes longer
        -- the more answers there are.
        IF least(a, b) >= 500 THEN
            RETURN x;
        END IF;
    ELSIF a >= 1 AND b >= 1 THEN
        r := sqrt(-2 * ln(least(p, 1 - p)));
        s := (2.30753 + 0.27061 * r) / (1 + r * (0.99229 + 0.04481 * r)) - r;
        s := CASE WHEN p < 0.5 THEN -s ELSE s END;
        r := 2 / (1 / (2 * a - 1) + 1 / (2 * b - 1));
        s := s * sqrt(r + (s * s - 3) / 6) / r
             - (1 / (2 * b - 1) - 1 / (2 * a - 1)) * ((s * s - 3) / 6 + 5::double precision / 6 - 2 / (3 * r));
        x := a / (a + b * exp(2 * s));
    ELSE
        -- Near its ends the density is a power.
        r := exp(a * ln(a / (a + b))) / a;
        s := exp(b * ln(b / (a + b))) / b;
        IF p < r / (r + s) THEN
            x := exp(greatest(ln(a * (r + s) * p) / a, smallest));
        ELSE
            x := 1 - exp(greatest(ln(b * (r + s) * (1 - p)) / b, smallest));
        END IF;
    END IF;
    x := greatest(1e-15, least(1 - 1e-15, x));
    -- One to three rounds do; a hundred are enough to halve the bracket until nothing is left.
    FOR round IN 1..100 LOOP
        factor := exp(greatest(a * ln(x) + b * ln(1 - x) - log_beta, smallest));
        from_below := x < (a + 1) / (a + b + 2);
        IF from_below THEN
            u := a; v := b; y := x;
        ELSE
            u := b; v := a; y := 1 - x;
        END IF;
        f := u * (u + 1 - (u + v) * y) / (u + 1);
        c := f;
        d := 0;
        -- It takes some 10 terms for tens of answers and 80 for ten millions.
        FOR m IN 1..10000 LOOP
            r := u + 2 * m - 1;
            above := (u + m - 1) * (u + v + m - 1) * m * (v - m) * y * y / (r * r);
            below := m + m * (v - m) * y / r + (u + m) * (u - (u + v) * y + 1 + m * (2 - y)) / (r + 2);
            d := 1 / (below + above * d);
            c := below + above / c;
            f := f * c * d;
            EXIT WHEN abs(c * d - 1) < 1e-12;
        END LOOP;
        s := CASE WHEN from_below THEN factor / f ELSE 1 - factor / f END - p;
        IF s > 0 THEN
            high := x;
        ELSE
            low := x;
        END IF;
        step := s * x * (1 - x) / factor;
        -- Far from the solution the second derivative misleads, so its part is limited.
        step := step / (1 - 0.5 * greatest(-1, least(1, step * ((a - 1) / x - (b - 1) / (1 - x)))));
        moved := x - step;
        IF moved < low OR moved > high THEN
            moved := (low + high) / 2;
        END IF;
        step := abs(moved - x);
        x := moved;
        -- The error that is left is of the step's third power.
        EXIT WHEN step < 1e-15 OR step * step * step < 1e-12 * least(deviation, x, 1 - x) ^ 2;
    END LOOP;
    RETURN x;
END
$$;
COMMENT ON FUNCTION beta_quantile(double precision, double precision, double precision) IS 'Quantile p of the Beta distribution with the parameters a and b.';

-- Empirical Bayes, Efron and Morris 1975 (JASA 70): a prior as good as 20 answers is added, whose mean is that of
-- the whole. Half a success and half a failure (Jeffreys) keep the prior from being certain where all agree.
CREATE FUNCTION prior_mean(successes bigint, answered bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (successes + 0.5::double precision) / (answered + 1);
COMMENT ON FUNCTION prior_mean(bigint, bigint) IS 'What a share is shrunk towards: (successes + 1/2) / (answered + 1) of the whole.';
CREATE FUNCTION shrunken(successes bigint, answered bigint, prior_mean double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN answered > 0 THEN (successes + 20 * prior_mean) / (answered + 20) END;
COMMENT ON FUNCTION shrunken(bigint, bigint, double precision) IS 'successes/answered, shrunk towards prior_mean by a prior as good as 20 answers.';
CREATE FUNCTION shrunken_variance(successes bigint, answered bigint, prior_mean double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN answered > 0
            THEN (successes + 20 * prior_mean) * (answered - successes + 20 * (1 - prior_mean))
                 / ((answered + 20)::double precision * (answered + 20) * (answered + 21))
       END;
COMMENT ON FUNCTION shrunken_variance(bigint, bigint, double precision) IS 'Variance of the Beta posterior that shrunken is the mean of.';
CREATE FUNCTION shrunken_lower(successes bigint, answered bigint, prior_mean double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN answered > 0
            THEN beta_quantile(0.025, successes + 20 * prior_mean, answered - successes + 20 * (1 - prior_mean))
       END;
COMMENT ON FUNCTION shrunken_lower(bigint, bigint, double precision) IS 'Lower bound of shrunken: quantile of the Beta posterior, 95 %.';
CREATE FUNCTION shrunken_upper(successes bigint, answered bigint, prior_mean double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN answered > 0
            THEN beta_quantile(0.975, successes + 20 * prior_mean, answered - successes + 20 * (1 - prior_mean))
       END;
COMMENT ON FUNCTION shrunken_upper(bigint, bigint, double precision) IS 'Upper bound of shrunken: quantile of the Beta posterior, 95 %.';

-- What alert rules have told (services/scoring/alerts). It outlives read models, so this is a view of the
-- service's own table, and runs as its owner: a BI role has no business in schema scoring. The barrier keeps a
-- function in a query from seeing rows of other tenants.
CREATE VIEW alert WITH (security_barrier = true) AS
SELECT tenant, number AS alert_number, alert_id, rule, rule_version, grouped_by, group_name, period_start, period_end,
       nth % 2 = 0 AS withdrawn, supersedes,
       lead(number) OVER (PARTITION BY tenant, rule, rule_version, group_name, period_start ORDER BY nth) AS superseded_by,
       part, whole, p0, statistic, lower_limit, upper_limit, p_value, judged_at, position AS as_of_position
  FROM scoring.alert
 WHERE tenant = (SELECT current_tenant());
COMMENT ON VIEW alert IS 'Shares that were beyond the limits of their control chart, and alarms that later data took back. Rows are added, never changed.';
COMMENT ON COLUMN alert.tenant IS 'Who it belongs to.';
COMMENT ON COLUMN alert.alert_number IS '1, 2, 3 and so on within the tenant, in the order of telling.';
COMMENT ON COLUMN alert.alert_id IS 'The same for the same alert however often it is worked out.';
COMMENT ON COLUMN alert.rule IS 'Name of the rule.';
COMMENT ON COLUMN alert.rule_version IS 'Version of the rule.';
COMMENT ON COLUMN alert.grouped_by IS 'What the rule has a chart for each of: touchpoint, stage, channel, service_mode, store, source or all.';
COMMENT ON COLUMN alert.group_name IS 'The touchpoint, stage and so on; all where the rule has one chart.';
COMMENT ON COLUMN alert.period_start IS 'First reporting date of the period.';
COMMENT ON COLUMN alert.period_end IS 'The reporting date after its last one.';
COMMENT ON COLUMN alert.withdrawn IS 'An alarm is taken back: with what was known by judged_at, the period is within its limits.';
COMMENT ON COLUMN alert.supersedes IS 'Number of the alert before about the same; NULL for the first.';
COMMENT ON COLUMN alert.superseded_by IS 'Number of the alert after about the same; NULL while this one stands.';
COMMENT ON COLUMN alert.part IS 'How many were in the part that is watched; NULL where nothing was left to judge.';
COMMENT ON COLUMN alert.whole IS 'Of how many.';
COMMENT ON COLUMN alert.p0 IS 'The share while all is as it should be, 0 to 1.';
COMMENT ON COLUMN alert.statistic IS 'What the limits are for: the share of the period, or its moving average, 0 to 1.';
COMMENT ON COLUMN alert.lower_limit IS 'Below it is an alarm, if the rule looks down.';
COMMENT ON COLUMN alert.upper_limit IS 'Above it is an alarm, if the rule looks up.';
COMMENT ON COLUMN alert.p_value IS 'How likely a statistic this far out is while the share is p0.';
COMMENT ON COLUMN alert.judged_at IS 'The moment, on the journal''s clock, at which it was judged.';
COMMENT ON COLUMN alert.as_of_position IS 'As known at this position of the journal.';

CREATE VIEW data_dictionary WITH (security_invoker = true) AS
SELECT t.relname::text AS table_name,
       coalesce(a.attname::text, '') AS column_name,
       coalesce(format_type(a.atttypid, a.atttypmod), '') AS data_type,
       coalesce(d.description, '') AS meaning
  FROM pg_catalog.pg_description d
  JOIN pg_catalog.pg_class t ON t.oid = d.objoid AND t.relnamespace =
           (SELECT relnamespace FROM pg_catalog.pg_class WHERE oid = 'dim_date'::regclass)
                            AND t.relkind IN ('r', 'v')
  LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.objsubid AND d.objsubid > 0
 WHERE d.classoid = 'pg_catalog.pg_class'::regclass;
COMMENT ON VIEW data_dictionary IS 'What each table and column means, for tools that show no comments.';
COMMENT ON COLUMN data_dictionary.table_name IS 'Table or view.';
COMMENT ON COLUMN data_dictionary.column_name IS 'Column; empty for the table itself.';
COMMENT ON COLUMN data_dictionary.data_type IS 'Type of the column.';
COMMENT ON COLUMN data_dictionary.meaning IS 'What it means.';

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
         WHERE c.table_schema = current_schema() AND c.column_name = 'tenant' AND t.table_type = 'BASE TABLE'
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', of_tenant.table_name);
        EXECUTE format('CREATE POLICY own_tenant ON %I FOR SELECT USING (tenant = (SELECT current_tenant()))',
                       of_tenant.table_name);
    END LOOP;
END
$$;
