import pytest

from services.chassis.postgres import Pool
from tests.support.experience import Figures


@pytest.fixture
def figures(scoring_pool: Pool) -> Figures:
    return Figures(scoring_pool)
