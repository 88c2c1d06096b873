"""TSFA online: which client gets how many resource blocks and bits this round, and the latency queues.

``solver.solve`` is the entry point; ``problem`` holds its input and output, ``options`` every grant a client
could be given, ``search`` the two latency models. Grants are packed ``side_by_side`` (``knapsack``, with the bound of
``dual``) where only their size counts and by ``placement`` where their place in the band does, with compiled loops
(``kernels``). Only numpy, the protocol package and, for those loops, the modem's compiler are imported here.
"""
