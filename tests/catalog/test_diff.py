"""The merge of two snapshots finds exactly what sets of their ids and hashes say."""

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from recsys.catalog.diff import Change, changes

HASH = st.sampled_from([b"a", b"b"])
CATALOG = st.dictionaries(st.text(max_size=3), st.tuples(HASH, HASH), max_size=12)


@given(CATALOG, CATALOG)
def test_changes(before: dict[str, tuple[bytes, bytes]], after: dict[str, tuple[bytes, bytes]]) -> None:
    found = list(changes(iter(_rows(before)), iter(_rows(after))))
    assert [id for id, _ in found] == sorted(before.keys() | after.keys())
    by_change = {change: {id for id, c in found if c == change} for change in get_args(Change)}
    common = before.keys() & after.keys()
    content = {id for id in common if before[id][0] != after[id][0]}
    payload = {id for id in common if before[id][0] == after[id][0] and before[id][1] != after[id][1]}
    assert by_change == {
        "new": after.keys() - before.keys(),
        "gone": before.keys() - after.keys(),
        "changed_content": content,
        "changed_payload": payload,
        "unchanged": common - content - payload,
    }


def _rows(catalog: dict[str, tuple[bytes, bytes]]) -> list[tuple[str, bytes, bytes]]:
    return [(id, *hashes) for id, hashes in sorted(catalog.items())]
