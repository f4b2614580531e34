"""What `make bench/journal` gives to its contenders."""

from bench.events import made
from bench.journal import _mixed
from touchledger.v1 import events_pb2 as pb


def test_events_have_the_bytes_of_the_event_that_they_stand_for() -> None:
    events = made(range(1000))
    assert 1000 == len({event.id for event in events})
    assert [event.id for event in events] == [
        pb.Event.FromString(event.state).event_id for event in events
    ]
    assert [event.customer for event in events] == [
        pb.Event.FromString(event.state).customer for event in events
    ]


def test_each_append_has_its_share_of_repeated_events_each_of_them_once() -> None:
    new = [made(range(start, start + 100)) for start in (0, 100, 200)]
    repeated = made(range(1000, 1030))
    mixed = _mixed(new, repeated, 10)
    assert [100, 100, 100] == list(map(len, mixed))
    assert repeated == [event for batch in mixed for event in batch if event in repeated]
    assert [10, 10, 10] == [sum(event in repeated for event in batch) for batch in mixed]


def test_where_repeated_events_run_out_appends_are_left_out() -> None:
    new = [made(range(start, start + 100)) for start in (0, 100, 200)]
    repeated = made(range(1000, 1250))
    assert [repeated[:100], repeated[100:200]] == _mixed(new, repeated, 100)
