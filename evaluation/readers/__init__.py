"""Readers: the downstream models that use a summary, behind one interface (:class:`evaluation.records.Reader`)."""
