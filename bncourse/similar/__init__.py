"""Which hand-ins share unusual text: ``bncourse similar``, a report for a human and no grade."""
