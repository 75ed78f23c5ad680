"""A tagger as a service over HTTP: docs/serving.md.

``app`` puts it together; ``routes`` and ``admin`` are what it answers, ``batching`` the queue
before the model, ``envelope`` what holds for every request, ``server`` the process around it.
"""
