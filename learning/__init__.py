"""Models, data, partitions, evaluation and device profiles: what both sides of the round need of torch.

Imports ``protocol`` only; imported by ``edge_client``, ``base_station`` and ``deploy``.
"""
