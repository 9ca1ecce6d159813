"""The report of a night: one self-contained page, the same facts as JSON, a summary for a terminal.

    run         the door: gathers, draws, writes
    facts       what the night's artifacts say, as one JSON value
    catalog     what came in, what was turned away
    judgement   the candidates, the gate, curves
    similar     examples: exact neighbours in the published vectors
    plane       the catalog's vectors on a plane
    shelf       the products that are shown: their words and thumbnails
    words       sentences, numbers and durations for people
    summary     the plain text
    charts      geometry of the charts
    views       what the templates are given; scatter: the map among it
    page        templates, escaping, the policy of the page

Does not know: how any stage works.
"""

from recsys.report.run import build

__all__ = ["build"]
