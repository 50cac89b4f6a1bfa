"""Webhooks: what a change is announced as, kept in the outbox, and delivered."""
