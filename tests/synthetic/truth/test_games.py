from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from synthetic.truth.games import interactions, pairs, shapley, subset_sizes

sizes = st.integers(1, 5)
games = sizes.flatmap(lambda n: arrays(float, 2**n, elements=st.floats(-10, 10)))


def n_of(game):
    return len(game).bit_length() - 1


def members(index, n):
    return [player for player in range(n) if index >> player & 1]


def exchanged(game, i, j):
    """The game in which two players have changed places."""
    result = np.empty_like(game)
    for index in range(len(game)):
        other = index & ~(1 << i | 1 << j)
        other |= (index >> i & 1) << j | (index >> j & 1) << i
        result[other] = game[index]
    return result


def test_the_glove_game_by_hand():
    # Players 0 and 1 have a left glove each, player 2 the right one; a pair is worth 1.
    # 2 is paid in every order in which it is not first: 2/3, the others in one order of six each.
    game = np.array([0, 0, 0, 0, 0, 1, 1, 1.0])
    assert shapley(game, 3) == pytest.approx([1 / 6, 1 / 6, 2 / 3])
    # Pair (0, 1): v(012) − v(02) − v(12) + v(2) = −1 with 2, 0 without: −1/2. Pair (0, 2): 1 without 1, and
    # 0 with it: 1/2.
    assert interactions(game, 3) == pytest.approx([-1 / 2, 1 / 2, 1 / 2])
    assert pairs(3) == [(0, 1), (0, 2), (1, 2)]


def test_a_majority_by_hand():
    # Weights 3, 2, 1, 1 and a quota of 4: in the 24 orders the pivot is 0 in 12, and each other in 4.
    weights = np.array([3, 2, 1, 1])
    game = np.array([float(weights[members(index, 4)].sum() >= 4) for index in range(16)])
    assert shapley(game, 4) == pytest.approx([1 / 2, 1 / 6, 1 / 6, 1 / 6])


def test_a_game_that_needs_everyone():
    # Unanimity of n: 1/n each; a pair counts where all others are there already, of weight 1/(n − 1).
    game = np.zeros(16)
    game[-1] = 1
    assert shapley(game, 4) == pytest.approx([1 / 4] * 4)
    assert interactions(game, 4) == pytest.approx([1 / 3] * 6)


@pytest.mark.parametrize("n", [2, 3, 4, 6])
def test_values_equal_those_of_shapiq(n):
    import shapiq  # noqa: PLC0415 - slow to load

    game = np.random.default_rng(n).normal(size=2**n)

    def played(coalitions):
        return np.array([game[sum(1 << place for place in range(n) if row[place])] for row in coalitions])

    computer = shapiq.ExactComputer(game=played, n_players=n)
    theirs = computer("SV", 1).dict_values
    assert shapley(game, n) == pytest.approx([theirs[player,] for player in range(n)], abs=1e-12)
    theirs = computer("SII", 2).dict_values
    assert interactions(game, n) == pytest.approx([theirs[pair] for pair in pairs(n)], abs=1e-12)


@given(games)
def test_values_are_the_mean_over_all_orders(shapley_by_orders, game):
    n = n_of(game)
    assert shapley(game, n) == pytest.approx(shapley_by_orders(game, n), abs=1e-9)


@given(games)
def test_values_divide_what_there_is(game):
    assert shapley(game, n_of(game)).sum() == pytest.approx(game[-1] - game[0], abs=1e-9)


@given(games, st.data())
def test_players_that_change_places_change_values(game, data):
    n = n_of(game)
    i, j = data.draw(st.integers(0, n - 1)), data.draw(st.integers(0, n - 1))
    order = list(range(n))
    order[i], order[j] = order[j], order[i]
    assert shapley(exchanged(game, i, j), n) == pytest.approx(shapley(game, n)[order], abs=1e-9)
    values, places = interactions(game, n), pairs(n)
    moved = [places.index(tuple(sorted((order[a], order[b])))) for a, b in places]
    assert interactions(exchanged(game, i, j), n) == pytest.approx(values[moved], abs=1e-9)


@given(games, st.data(), st.floats(-5, 5))
def test_a_player_that_adds_the_same_everywhere_gets_that(game, data, gain):
    n = n_of(game)
    player = data.draw(st.integers(0, n - 1))
    game = np.array([game[i & ~(1 << player)] + gain * (i >> player & 1) for i in range(2**n)])
    assert shapley(game, n)[player] == pytest.approx(gain, abs=1e-9)
    for place, pair in enumerate(pairs(n)):
        if player in pair:
            assert interactions(game, n)[place] == pytest.approx(0, abs=1e-9)


def test_an_interaction_is_the_gain_in_a_value_that_another_player_brings():
    # Grabisch & Roubens: I_ij = φ_i(with j in from the start) − φ_i(without j), as games of n − 1 players.
    n, game = 4, np.random.default_rng(1).normal(size=16)
    for place, (i, j) in enumerate(pairs(n)):
        rest = [player for player in range(n) if player != j]
        inside, outside = (
            np.array([game[sum(1 << rest[k] for k in members(s, n - 1)) | extra] for s in range(8)])
            for extra in (1 << j, 0)
        )
        expected = shapley(inside, n - 1)[rest.index(i)] - shapley(outside, n - 1)[rest.index(i)]
        assert interactions(game, n)[place] == pytest.approx(expected)


def test_many_games_at_once_are_each_alone():
    many = np.random.default_rng(2).normal(size=(3, 5, 8))
    for function, width in ((shapley, 3), (interactions, 3)):
        values = function(many, 3)
        assert values.shape == (3, 5, width)
        assert values[2, 4] == pytest.approx(function(many[2, 4], 3), abs=1e-15)


def test_one_player_has_all_and_no_pair():
    assert shapley(np.array([1.0, 4.0]), 1) == pytest.approx([3])
    assert interactions(np.array([[1.0, 4.0]] * 2), 1).shape == (2, 0)
    assert pairs(1) == []


def test_sizes_of_subsets():
    assert subset_sizes(3).tolist() == [0, 1, 1, 2, 1, 2, 2, 3]
    assert subset_sizes(0).tolist() == [0]


def test_too_many_players_are_refused():
    with pytest.raises(ValueError, match=r"at most 20 modalities that matter\. Got 21"):
        subset_sizes(21)
