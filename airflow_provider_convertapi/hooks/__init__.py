"""Hooks: the connection in, authenticated calls out."""
