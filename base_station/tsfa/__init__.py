"""TSFA online: which client gets how many resource blocks and bits this round, and the latency queues.

``solver.solve`` is the entry point; ``problem`` holds its input and output. Only numpy and the
protocol package are imported here.
"""
