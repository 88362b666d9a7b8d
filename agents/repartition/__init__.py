"""Repartition: moves users to more partitions of the keyed topics, offline: ``python -m agents.repartition``.

Place in the flow: between two runs of the workers. *Plan* what may be done, see that the workers have *settled* everything,
*move* one partition after another, and say in what is committed that it is done. Until then no worker starts.
"""
