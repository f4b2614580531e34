"""The metrics that are kept. The order is the order of the columns in schema bi: add at the end."""

from services.scoring.metric import Metric
from services.scoring.metrics.contact import contact
from services.scoring.metrics.csat import csat
from services.scoring.metrics.nps import nps
from services.scoring.metrics.request import request
from services.scoring.metrics.response import response

METRICS: tuple[Metric, ...] = (contact, request, response, csat, nps)
