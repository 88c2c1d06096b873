"""Link simulation: many bursts through the whole modem, counted (``airtune link simulate``, link tables, benchmarks).

``scenario`` says what is asked, ``burst`` plays one burst, ``workers`` many of them in parallel, ``results`` counts,
``sweep`` is all of it. May import protocol and the rest of radio; no flowgraph, no torch.
"""
