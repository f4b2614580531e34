"""A model of another shape: an older one is made anew, a later one is refused."""

import hashlib

import pytest

from services.chassis.postgres import Pool, Unsuitable
from services.scoring import models
from services.scoring.scoreboard import Scoreboard
from tests.support.events import event
from tests.support.journals import journal_of, project

# Of each shape, what the files of model/ were. Another text needs a SHAPE more and a line here.
DIGESTS = {
    1: "5dfa57f96f7dd521dd066e20acbd18657c686c9a4c45112b14cb693b5faa2184",
    2: "dbaa1b1f056d9872e0a189c9f35506c9854ad26c4947e1c56281226024a4256e",
    3: "36ee08fb56d5bc73cd13c978cdd4ad9c193f2d5f7171e797a9cf277928a1647c",
}


def test_each_change_of_the_tables_has_a_shape_of_its_own() -> None:
    files = (models.FOLDER / name for name in ("fold.sql", "bi.sql", "lookups.sql"))
    digest = hashlib.sha256(b"".join(each.read_bytes() for each in files)).hexdigest()
    assert digest == DIGESTS[models.SHAPE]


async def test_a_model_of_an_older_shape_is_made_anew(scoring_pool: Pool) -> None:
    scoreboard = Scoreboard(scoring_pool)
    await project(scoreboard, journal_of(event(event_id="visit")))
    await scoring_pool.execute("UPDATE shape SET number = number - 1")
    await scoreboard.install()
    assert (await scoreboard.checkpoint()).number == 0
    await project(scoreboard, journal_of(event(event_id="visit")))
    assert await scoring_pool.fetchval("SELECT sum(interactions) FROM rollup_day") == 1


async def test_a_model_of_a_later_release_is_left_alone(scoring_pool: Pool) -> None:
    scoreboard = Scoreboard(scoring_pool)
    await project(scoreboard, journal_of(event(event_id="visit")))
    await scoring_pool.execute("UPDATE shape SET number = number + 1")
    with pytest.raises(Unsuitable, match="got shape 4, want at most 3"):
        await scoreboard.install()
    assert (await scoreboard.checkpoint()).number == 1
