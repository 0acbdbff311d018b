"""The gateway: admission, routing, the ASGI application, the HTTP limits. It never sees an artifact."""
