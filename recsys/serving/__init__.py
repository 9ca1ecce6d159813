"""The HTTP service: the API under ``/v1``, its documentation, sign-in, and the page.

    app           puts everything together
    middleware    what every request passes: host and origin, body size, headers, metrics, access log
    problems      every error as RFC 9457 problem details
    auth          keys, roles; sessions: who signed in on the page; token_bucket: how often a key may ask
    dependencies  what routes work with
    requests      what can be sent; responses: what comes back
    conditional   304 for those who have the answer already
    routes        one file per group of routes
    page          the merchandisers' page
    openapi       the OpenAPI document and Swagger UI
    prometheus    what Prometheus reads
    protocol      bounds on what is not HTTP yet
    run           the service as a process

Does not know: engines, encoders, the database's tables.
"""
