"""Each figure again, from events, by plain loops: what the queries are held to."""
