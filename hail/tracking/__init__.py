"""Hits of the browser tracker, and of Aktivat's, as hits of HailWhale.

body ── wire.py ──> Tracked ── translation.py ──> the fields of a hit ── hail.hit.parse_row ──> a row
"""
