"""The web pages and webhooks that face out: one process, a public listener and a staff listener."""
