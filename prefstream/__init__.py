"""What others import: the records of the contract, and the clients that publish events and read summaries.

- :mod:`prefstream.events`, :mod:`prefstream.commands`, :mod:`prefstream.summaries`, :mod:`prefstream.dead_letters`: records
- :mod:`prefstream.publisher`, :mod:`prefstream.reader`: write events and commands, read summaries
- :mod:`prefstream.history`, :mod:`prefstream.history_reader`: the versions before, and why each was made
- :mod:`prefstream.topics`, :mod:`prefstream.admin`: which topics there are, and how they come to be what they should be
- :mod:`prefstream.errors`: everything that can go wrong

Nothing is imported here, so that whoever needs a record does not load a Kafka client.
"""
