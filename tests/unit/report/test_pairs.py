"""Pairs of faces, against all pairs counted one by one."""

from itertools import combinations

import numpy as np
import pandas as pd

from meanface.report.pairs import Pairs, between, distances, nearest_between, within

PEOPLE = pd.Series(["b", "a", "", "b", "c", "a", "b", ""], index=[0, 1, 2, 4, 5, 6, 7, 9])


def as_set(pairs: Pairs) -> set[tuple[int, int]]:
    both = zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
    return {(min(pair), max(pair)) for pair in both}


def expected(same: bool) -> set[tuple[int, int]]:
    named = PEOPLE[PEOPLE != ""]
    return {
        (i, j) for i, j in combinations(named.index.tolist(), 2) if (named[i] == named[j]) == same
    }


def test_few_pairs_are_all_there() -> None:
    for find, same in ((within, True), (between, False)):
        pairs = find(PEOPLE, 100)
        assert as_set(pairs) == expected(same)
        assert pairs.total == len(pairs.first) == len(expected(same))


def test_of_many_pairs_some_are_drawn_and_always_the_same() -> None:
    people = pd.Series([f"{number % 40}" for number in range(2000)])
    for find in (within, between):
        pairs = find(people, 5000)
        again = find(people, 5000)
        assert (pairs.first == again.first).all()
        assert (pairs.second == again.second).all()
        assert 4800 < len(pairs.first) <= 5000
        same = people[pairs.first].to_numpy() == people[pairs.second].to_numpy()
        assert same.all() if find is within else not same.any()
        assert (pairs.first != pairs.second).all()
        # Spread evenly: each of 40 persons has about a 40th of the faces.
        counts = people[pairs.first].value_counts()
        assert counts.min() > 80
        assert counts.max() < 180
    assert within(people, 5000).total == 40 * 50 * 49 // 2
    assert between(people, 5000).total == 2000 * 1999 // 2 - 40 * 50 * 49 // 2


def test_without_names_no_pair_is_known() -> None:
    for people in (pd.Series(["", ""]), pd.Series([], dtype=str), pd.Series(["a"])):
        assert within(people, 9).total == between(people, 9).total == 0
        assert not len(within(people, 9).first)
        assert not len(between(people, 9).first)


def test_distances_and_the_nearest_of_two_people() -> None:
    embeddings = np.random.default_rng(3).normal(size=(1200, 8)).astype(np.float32)
    people = pd.Series(np.random.default_rng(4).integers(0, 30, 1200).astype(str))
    people[people == "7"] = ""
    wide = embeddings.astype(float)
    pairs = between(people, 10_000_000)
    away = distances(embeddings, pairs)
    some = np.linspace(0, len(away) - 1, 99).astype(int)
    assert np.allclose(
        away[some], np.linalg.norm(wide[pairs.first[some]] - wide[pairs.second[some]], axis=1)
    )
    both = zip(people[pairs.first], people[pairs.second], strict=True)
    least = pd.Series(away).groupby([" ".join(sorted(two)) for two in both]).min().nsmallest(40)
    found = nearest_between(embeddings, people, np.arange(1200), 40)
    assert [" ".join(sorted((people[i], people[j]))) for i, j, _ in found] == list(least.index)
    assert np.allclose([distance for *_, distance in found], least, rtol=1e-12)
    assert np.allclose([np.linalg.norm(wide[i] - wide[j]) for i, j, _ in found], least)
    assert nearest_between(embeddings, people, np.array([3]), 5) == []
