"""What the service says of itself: the OpenAPI 3.1 document that a client can be made from.

In the order of reading: `parts` (what a route is made of), `wire` (bodies that have no struct elsewhere), `parameters`,
`table` (every route; a new one is one more entry), `schemas` and `refusals` (structs and problems as the document has
them), `document`. That the table is what the routes do is shown by tests/http/openapi.
"""
