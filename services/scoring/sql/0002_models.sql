-- The read models become versions of themselves (services/scoring/models.py), made at the start of the service
-- and filled from the journal. Those of before have other tables, and can be filled again, so they go, and with
-- them what somebody else has built on them.
DROP SCHEMA bi CASCADE;
DROP FUNCTION scoring.add_days(date[]);
DROP TABLE scoring.waiting_amendment, scoring.formulas;
