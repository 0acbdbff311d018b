"""Any JSON value, for property tests."""

from typing import Any

from hypothesis import strategies as st


def json_values(leaves: st.SearchStrategy[Any], keys: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """`leaves`, and lists and objects of at most three of any of these."""
    value: st.SearchStrategy[Any] = st.deferred(
        lambda: leaves | st.lists(value, max_size=3) | st.dictionaries(keys, value, max_size=3)
    )
    return value
