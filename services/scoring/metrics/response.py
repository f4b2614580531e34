"""How often customers gave feedback, and how often when they were asked.

Only feedback that names the request that it answers counts for the rate, once for each feedback. Requests
and answers are counted where and when each happened: a day on which more requests of earlier days are
answered than new ones are sent has a rate above 1, and no interval.
"""

from services.scoring.metric import Metric, Score, Sum

response = Metric(
    name="response",
    version=1,
    facts="fact_feedback",
    sums={
        "answered": Sum(
            "count(*) FILTER (WHERE signal_index = 0)", "Times that customers answered."
        ),
        "answered_requests": Sum(
            "count(*) FILTER (WHERE signal_index = 0 AND request_id IS NOT NULL)",
            "Times that customers answered a request.",
        ),
    },
    scores={
        "response_rate": Score(
            "answered_requests::double precision / NULLIF(asked, 0)",
            "Answers to requests per request, 0 to 1, above it where earlier requests are answered"
            " (sample proportion).",
        ),
        "response_rate_lo": Score(
            "wilson_lower(answered_requests, asked)",
            "Lower bound of response_rate: score interval, 95 % (Wilson 1927); NULL where it is above 1.",
        ),
        "response_rate_hi": Score(
            "wilson_upper(answered_requests, asked)",
            "Upper bound of response_rate: score interval, 95 % (Wilson 1927); NULL where it is above 1.",
        ),
    },
)
