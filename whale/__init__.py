"""HailWhale's whale."""
