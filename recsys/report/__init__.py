"""The report of a night: one self-contained page, the same facts as JSON, a summary for a terminal.

    run         the stage's door: one artifact of kind ``reports``
    facts       what the night's artifacts say, as one JSON value
    vectors     neighbours of a few products in the published vectors, and a map of many
    overlap     how neighbours change when another encoder takes over
    figures     what the published vectors look like, beside the night before
    monitoring  which of these figures are unusual, by the nights before
    cards       what is shown of a product: its words and a thumbnail
    charts      geometry of the charts
    formatting  numbers, durations and names, as people read them
    render      the page: templates, what they are given, its policy
    summary     the plain text for a terminal

Does not know: how any stage works.
"""

from recsys.report.run import build

__all__ = ["build"]
