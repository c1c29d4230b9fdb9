"""Records on their way to other machines: read from the segments by a cursor, sent in batches, at least once.

Laws: a sink never makes anything else wait, neither capture nor another sink; what it holds in memory is one
batch; nothing is dropped but what retention removed before it was shipped, and that is counted and recorded.
"""
