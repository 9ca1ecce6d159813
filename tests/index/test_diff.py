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
    new, gone = after.keys() - before.keys(), before.keys() - after.keys()
    moved = {i for i in after.keys() & before.keys() if after[i][0] != before[i][0]}
    rest = after.keys() - new - moved
    payload = rest if all_payloads else {i for i in rest if after[i][1] != before[i][1]}
    assert [ids[i] for i in changes.upsert] == [i for i in ids if i in new | moved]
    assert [ids[i] for i in changes.payload] == [i for i in ids if i in payload]
    assert sorted(changes.gone) == sorted(gone)
    assert changes.counts == {
        "new": len(new),
        "vectors": len(moved),
        "payload": len(payload),
        "gone": len(gone),
        "unchanged": len(rest - payload),
    }
    assert len(changes) == sum(changes.counts.values()) - changes.counts["unchanged"]
