"""Option sets and token tries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grace_client.core.errors import SpecError
from grace_client.core.options import Option, OptionSet, TokenTrie, spoken


def options(*names: str) -> OptionSet:
    return OptionSet(tuple(Option(name, (name,)) for name in names))


def test_shared_prefixes_are_shared_nodes() -> None:
    """10% and 100% as digit tokens: root, 1, 0, and two ways on."""
    trie = TokenTrie.build(options("10%", "100%"), [[[1, 0, 37]], [[1, 0, 0, 37]]])
    assert trie.token.tolist() == [-1, 1, 0, 37, 0, 37]
    assert trie.parent.tolist() == [-1, 0, 1, 2, 2, 4]
    assert trie.inner.tolist() == [0, 1, 2, 4]
    assert trie.depth.tolist() == [0, 1, 2, 3, 3, 4]
    assert trie.path(5) == [1, 0, 0, 37]


def test_a_set_that_is_not_prefix_free_is_refused_with_the_pair() -> None:
    """The message names both forms and two ways out."""
    with pytest.raises(SpecError, match=r"'10' .*'1'.* 'end: turn'"):
        TokenTrie.build(options("1", "10"), [[[1]], [[1, 0]]])


def test_two_options_with_the_same_tokens_are_refused() -> None:
    """Their probabilities could not be told apart."""
    with pytest.raises(SpecError, match=r"'b' \(b\) and 'a' \(a\) .*\[5\]"):
        TokenTrie.build(options("a", "b"), [[[5]], [[5]]])


def test_two_forms_of_one_option_with_the_same_tokens_count_once() -> None:
    """A tokenizer that drops the leading space must not double the option's probability."""
    trie = TokenTrie.build(OptionSet((Option("a", ("a", " a")), Option("b", ("b",)))), [[[5], [5]], [[6]]])
    assert trie.forms == ("a", "b")


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: options("a"), r"\['a'\]"),
        (lambda: options("a", "a"), r"\['a', 'a'\]"),
        (lambda: OptionSet((Option("a", ()), Option("b", ("b",)))), "Option 'a'"),
        (
            lambda: OptionSet((Option("a", ("x",)), Option("b", ("x",)))),
            "'x' .*'a' and 'b'",
        ),
        (lambda: TokenTrie.build(options("a", "b"), [[[]], [[1]]]), "'a' of option 'a' has no tokens"),
    ],
)
def test_a_senseless_set_is_refused(made: object, message: str) -> None:
    """With a message that names the option."""
    with pytest.raises(SpecError, match=message):
        made()  # type: ignore[operator]


def test_spoken_forms() -> None:
    """As written and capitalised, with and without a space, none twice."""
    assert spoken("yes") == ("yes", "Yes", " yes", " Yes")
    assert spoken("It was") == ("It was", " It was")


@given(st.sets(st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple), min_size=2, max_size=12))
def test_a_trie_keeps_every_form_or_refuses_the_set(forms: set[tuple[int, ...]]) -> None:
    """Either some form begins another, and the set is refused, or every leaf's path is its form."""
    listed = sorted(forms)
    overlap = any(a != b and b[: len(a)] == a for a in listed for b in listed)
    named = options(*(str(i) for i in range(len(listed))))
    if overlap:
        with pytest.raises(SpecError, match="prefix-free"):
            TokenTrie.build(named, [[form] for form in listed])
        return
    trie = TokenTrie.build(named, [[form] for form in listed])
    assert [tuple(trie.path(int(leaf))) for leaf in trie.leaf] == listed
    assert (trie.parent[1:] < range(1, len(trie))).all()
    assert trie.n_edges == len({form[:n] for form in listed for n in range(1, len(form) + 1)})
