"""Addresses of HiiTrack that both count and report."""

from whale.routes.account_paths import BUCKET

EVENT, PROPERTY = f"{BUCKET}/event/<name:name>", f"{BUCKET}/property/<name:word>"
