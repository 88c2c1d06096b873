"""A radio without samples: what bursts would have met is drawn from the channel and the link tables.

Same windows, same ARQ, same records as with samples, at a small part of the work: for sweeps over methods and
long runs. It knows nothing of filters, neighbours, carrier and clock errors or imperfect hardware, and its
runs say "no IQ". Source: link-to-system abstraction as in the 3GPP literature; the rest is ours.
"""
