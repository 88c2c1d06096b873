"""``airtune plan``: a short pilot of training at every candidate rank, scored by TSFA offline."""
