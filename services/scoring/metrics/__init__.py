"""The metrics that are kept. The order is the order of the columns in schema bi: add at the end."""

from services.scoring.metric import Metric
from services.scoring.metrics.ces1 import ces1
from services.scoring.metrics.ces2 import ces2
from services.scoring.metrics.contact import contact
from services.scoring.metrics.csat import csat
from services.scoring.metrics.csat_rescaled import csat_rescaled
from services.scoring.metrics.health import health
from services.scoring.metrics.nps import nps
from services.scoring.metrics.outcome import outcome
from services.scoring.metrics.rating import rating
from services.scoring.metrics.request import request
from services.scoring.metrics.response import response
from services.scoring.metrics.sentiment import sentiment
from services.scoring.metrics.shrunken import shrunken
from services.scoring.metrics.thumbs import thumbs
from services.scoring.metrics.voice import voice
from services.scoring.metrics.wait import wait

METRICS: tuple[Metric, ...] = (
    contact,
    request,
    response,
    csat,
    nps,
    csat_rescaled,
    ces1,
    ces2,
    rating,
    thumbs,
    sentiment,
    outcome,
    wait,
    voice,
    shrunken,
    health,
)
