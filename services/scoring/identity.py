"""Who is who: which references of customers are of one person, as known at a position, before a moment.

A web visitor, a caller and the holder of a card may turn out to be one person, and the reverse. Facts keep
the reference that they were sent with; who that is, is worked out at the question. So what is told by person
is as if the references had always been one, and is as it was before once they are parted.
"""

from services.scoring.attributes import known_at

# By name, queries that each may read those before it, and moments, one row (derived/__init__.py). {tenant}
# and {position} stand for SQL expressions. The same two references may be said to be of one customer and not,
# in turn: the last word counts. Whoever is reached over such words is one person, who goes by the least of
# the references.
IDENTITY = {
    "identity_said": f"""
SELECT DISTINCT ON (least(f.customer, f.same_as), greatest(f.customer, f.same_as))
       f.customer, f.same_as, f.relation, f.event_position
  FROM fact_identity f CROSS JOIN moments m
 WHERE f.tenant = {{tenant}} AND {known_at("{position}")} AND f.occurred_at < m.occurred_before
 ORDER BY least(f.customer, f.same_as), greatest(f.customer, f.same_as),
          f.occurred_at DESC, f.event_position DESC
""",  # noqa: S608  # literals
    "identity_link": """
SELECT customer, same_as FROM identity_said WHERE relation = 'same'
UNION ALL
SELECT same_as, customer FROM identity_said WHERE relation = 'same'
""",
    "identity_reached": """
SELECT customer, customer AS reached FROM identity_link
UNION
SELECT r.customer, l.same_as FROM identity_reached r JOIN identity_link l ON l.customer = r.reached
""",
    # Of customers that belong together with others, alone.
    "person": "SELECT customer, min(reached) AS person FROM identity_reached GROUP BY customer",
}

# Of these customers, all that the person is known as: by it, indexes find facts.
PEOPLE = """
SELECT customer, person, array_agg(customer) OVER (PARTITION BY person) AS known_as FROM person
"""
_PARTS = ", ".join(f"{name} AS ({text})" for name, text in [*IDENTITY.items(), ("people", PEOPLE)])
# How a query of derived facts begins that reads people: $1 tenant, $2 position.
WITH_PEOPLE = f"WITH RECURSIVE {_PARTS}".replace("{tenant}", "$1").replace("{position}", "$2")

# Every reference of one person, as the recursive query reference: {customer} stands for an SQL expression of
# any of them, {where} for the condition on f that says which words count. It follows indexes: a tenant may
# have millions of words.
REFERENCES = """
SELECT {customer} AS customer
UNION
SELECT said.other
  FROM reference r
 CROSS JOIN LATERAL (
   SELECT DISTINCT ON (words.other) words.other, words.relation
     FROM (SELECT f.same_as AS other, f.relation, f.occurred_at, f.event_position
             FROM fact_identity f WHERE f.customer = r.customer AND {where}
           UNION ALL
           SELECT f.customer, f.relation, f.occurred_at, f.event_position
             FROM fact_identity f WHERE f.same_as = r.customer AND {where}) AS words
    ORDER BY words.other, words.occurred_at DESC, words.event_position DESC
 ) AS said
 WHERE said.relation = 'same'
"""
