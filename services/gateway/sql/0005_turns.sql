-- Deliveries are taken by turns, and one that ends its gateway again and again is given up. A gateway of the
-- release before goes on: it takes what is due, the oldest first, and counts nothing as unanswered.
ALTER TABLE gateway.delivery ADD COLUMN unanswered integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN gateway.delivery.unanswered IS 'How many attempts have no outcome: the one under way, and those that the gateway died of.';

-- Which webhooks have something due, what is next of each, and how much of it waits.
CREATE INDEX delivery_turn ON gateway.delivery (webhook_id, unanswered, due_at) WHERE due_at IS NOT NULL;
-- What is taken by itself.
CREATE INDEX delivery_alone ON gateway.delivery (due_at) WHERE due_at IS NOT NULL AND unanswered > 0;
DROP INDEX gateway.delivery_due;
DROP INDEX gateway.delivery_waiting;

-- What a replay of deliveries has recorded is released by its event's id.
CREATE INDEX quarantine_open_event ON gateway.quarantine (tenant, source, event_id)
 WHERE status = 'open' AND event_id <> '';
