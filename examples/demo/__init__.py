"""The rooms of the demo, each a WSGI application of its own; ``demo_app.py`` puts them together."""
