"""TSFA offline (docs/algorithms.md, section 5): the LoRA rank and V, chosen before training.

``channels`` draws what the rounds will meet, ``play`` plays the online stage on recorded error curves, ``terms`` scores
the candidate ranks. The pilot that records the curves is in ``deploy.planning``: it needs the clients' training.
"""
