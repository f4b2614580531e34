-- What applications of the eventsourcing library keep beside their events (services/touchpoint/library.py). Their
-- events are in stored_events, like all others.

-- One row for each projection and the application that it follows. It is updated with every event that the
-- projection has processed: room in the page keeps these updates out of the index.
CREATE TABLE journal.library_tracking (
    tenant           text   NOT NULL,
    projection       text   NOT NULL,
    application_name text   NOT NULL,
    notification_id  bigint NOT NULL,
    CONSTRAINT library_tracking_pkey PRIMARY KEY (tenant, projection, application_name)
) WITH (fillfactor = 50);
COMMENT ON TABLE journal.library_tracking IS 'How far the projections of library applications are.';
COMMENT ON COLUMN journal.library_tracking.notification_id IS 'Position of the last event that the projection has processed.';

-- Not sealed: a snapshot is derived from its stream and can be dropped at any time.
CREATE TABLE journal.library_snapshots (
    tenant             text   NOT NULL,
    source             text   NOT NULL,
    originator_id      uuid   NOT NULL,
    originator_version bigint NOT NULL,
    topic              text   NOT NULL,
    state              bytea  NOT NULL,
    CONSTRAINT library_snapshots_pkey PRIMARY KEY (tenant, source, originator_id, originator_version)
);
COMMENT ON TABLE journal.library_snapshots IS 'Snapshots of aggregates of library applications.';
