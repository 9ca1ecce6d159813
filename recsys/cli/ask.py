"""The verbs that answer something: status, summary, similar, search."""
