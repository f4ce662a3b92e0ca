"""Training of the query-conditioned mask policy (needs the extra ``[train]``: torch and friends)."""
