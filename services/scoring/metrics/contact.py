"""How often customer and company met: what every other count is set against."""

from services.scoring.metric import Metric, Sum

contact = Metric(
    name="contact",
    version=1,
    facts="fact_interaction",
    sums={"interactions": Sum("count(*)", "Interactions.")},
    scores={},
)
