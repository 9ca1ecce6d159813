"""What has to be written, compared with plain set arithmetic."""

from hypothesis import given
from hypothesis import strategies as st

from recsys.index.diff import diff
from recsys.index.source import Row

_rows = st.dictionaries(
    st.text("abcé𝄞", min_size=1, max_size=3),
    st.tuples(st.sampled_from("kK"), st.sampled_from("hH")),
    max_size=12,
)


def stream(rows: dict[str, tuple[str, str]]) -> list[Row]:
    return [Row(id, *rest) for id, rest in sorted(rows.items(), key=lambda item: item[0].encode())]


@given(_rows, _rows, st.booleans())
def test_it_agrees_with_set_arithmetic(
    before: dict[str, tuple[str, str]], after: dict[str, tuple[str, str]], all_payloads: bool
) -> None:
    changes = diff(sorted(stream(before)), stream(after), all_payloads=all_payloads)
    ids = [r.id for r in stream(after)]
    new = {i for i in after if i not in before}
    moved = {i for i in after if i in before and after[i][0] != before[i][0]}
    rest = {i for i in after if i in before} - moved
    payload = rest if all_payloads else {i for i in rest if after[i][1] != before[i][1]}
    assert [ids[i] for i in changes.upsert] == [i for i in ids if i in new | moved]
    assert [ids[i] for i in changes.payload] == [i for i in ids if i in payload]
    assert sorted(changes.gone) == sorted(set(before) - set(after))
    assert changes.counts() == {
        "new": len(new),
        "vectors": len(moved),
        "payload": len(payload),
        "gone": len(set(before) - set(after)),
        "unchanged": len(rest - payload),
    }
    assert changes.is_empty == (not (new or moved or payload or set(before) - set(after)))
