-- What finds a customer's and a member of staff's facts: for journeys, and to move them when a profile changes. To
-- keep these up while a model is filled would be a third of the work, so they are made when it is near the
-- journal's end, or at the first profile (services/scoring/models.py).
DO $$
DECLARE
    fact text;
BEGIN
    FOR fact IN
        SELECT table_name FROM information_schema.tables
         WHERE table_schema = current_schema() AND table_name LIKE 'fact\_%'
    LOOP
        EXECUTE replace($indexes$
            CREATE INDEX @_customer_idx ON @ (tenant, customer) WHERE customer IS NOT NULL;
            CREATE INDEX @_staff_idx ON @ (tenant, source, staff) WHERE staff IS NOT NULL;
        $indexes$, '@', fact);
    END LOOP;
    -- Either of two references leads to the other.
    CREATE INDEX fact_identity_same_as_idx ON fact_identity (tenant, same_as);
END
$$;
