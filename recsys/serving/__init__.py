"""The HTTP service: the API under ``/v1``, its documentation, sign-in, and the page.

    app        puts everything together
    gate       what every request passes: host, identity, body size, headers, metrics, access log
    problems   every error as RFC 9457 problem details
    auth       keys, roles, sessions, CSRF tokens
    asked      what can be sent; answered: what comes back; wire: how it is written (feedback_*: of rules,
               judgements); bodies, parameters, filtering: how it is read
    routes     one file per group of routes
    document   the OpenAPI document and the page that shows it
    metrics    what Prometheus reads

Does not know: engines, encoders, the database's tables.
"""
