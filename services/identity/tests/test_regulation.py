"""Guesses wait longer and longer, forget slowly, and never for ever."""

import itertools
from datetime import timedelta
from threading import Barrier, Thread

import pytest
from identity import regulation
from identity.regulation import Bucket, Kind, Verdict

pytestmark = pytest.mark.integration
KIND = Kind("test", free=3, base_s=2, limit_s=60, forget_s=100)
BUCKETS = [Bucket(KIND, "a" * 64)]


@pytest.fixture
def now(house):
    from django.utils import timezone

    return timezone.now()


def test_a_few_failures_cost_nothing_and_then_each_costs_twice_as_much(now):
    for _ in range(3):
        assert regulation.take(BUCKETS, now).allowed
    waits = []
    for _ in range(7):
        assert regulation.take(BUCKETS, now).allowed
        refused = regulation.take(BUCKETS, now)
        assert not refused.allowed
        waits.append(refused.retry_after_s)
        now += timedelta(seconds=refused.retry_after_s)
    assert waits[0] == 2
    assert all(later >= earlier for earlier, later in itertools.pairwise(waits))
    assert waits[-1] == 60, "the wait has a limit: nobody is locked out for ever"


def test_a_refused_guess_does_not_make_the_wait_longer(now):
    for _ in range(4):
        regulation.take(BUCKETS, now)
    first = regulation.take(BUCKETS, now)
    for _ in range(50):
        assert regulation.take(BUCKETS, now) == first
    assert regulation.take(BUCKETS, now + timedelta(seconds=2)).allowed


def test_failures_are_forgotten_one_by_one(now):
    for _ in range(3):
        regulation.take(BUCKETS, now)
    later = now + timedelta(seconds=150)
    assert regulation.take(BUCKETS, later) == Verdict(allowed=True)
    assert regulation.take(BUCKETS, later).allowed, "one and a half of three were forgotten"
    assert (
        not regulation.take(BUCKETS, later).allowed or not regulation.take(BUCKETS, later).allowed
    )


def test_a_right_answer_gives_its_step_back_and_no_more(now):
    for _ in range(100):
        assert regulation.take(BUCKETS, now).allowed
        regulation.give_back(BUCKETS)
    for _ in range(4):
        assert regulation.take(BUCKETS, now).allowed
    assert not regulation.take(BUCKETS, now).allowed


def test_when_one_bucket_says_wait_none_is_counted(now):
    full, other = Bucket(KIND, "f" * 64), Bucket(KIND, "0" * 64)
    for _ in range(4):
        regulation.take([full], now)
    for _ in range(10):
        assert not regulation.take([full, other], now).allowed
    for _ in range(4):
        assert regulation.take([other], now).allowed


def test_guesses_at_the_same_moment_are_all_counted(house):
    from django.db import connection

    allowed: list[bool] = []
    gate = Barrier(8)

    def guess() -> None:
        gate.wait()
        allowed.append(regulation.take(BUCKETS).allowed)
        connection.close()

    threads = [Thread(target=guess) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert allowed.count(True) == 4, "three free, one that starts the wait, the rest refused"


def test_stale_buckets_are_deleted_and_forgiving_empties_all(now):
    regulation.take(BUCKETS, now - timedelta(days=3))
    regulation.take([Bucket(KIND, "b" * 64)], now)
    assert regulation.forget_stale(now) == 1
    assert regulation.forgive() == 1


def test_the_buckets_of_a_guess_do_not_tell_whether_the_name_exists():
    kinds = [b.kind.name for b in regulation.buckets_for("Ada ", "10.0.0.1", None)]
    assert kinds == ["address", "name_at_network", "name"]
    same = regulation.buckets_for("ada", "10.0.0.1", None)
    assert same == regulation.buckets_for(" ADA", "10.0.0.1", None)
    neighbour = regulation.buckets_for("ada", "10.0.0.99", None)
    assert neighbour[0] != same[0]
    assert neighbour[1:] == same[1:]
    assert [b.kind.name for b in regulation.buckets_for("ada", "10.0.0.1", "d")] == ["device"]
    assert "ada" not in str([b.key for b in same])


def test_an_ipv6_host_is_its_network():
    one = regulation.buckets_for("ada", "2001:db8::1", None)
    two = regulation.buckets_for("ada", "2001:db8::ffff", None)
    assert one == two
