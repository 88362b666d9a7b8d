"""Rebuilding all summaries with another model or prompt: in a shadow, beside the installation that goes on as it is.

A shadow reads the events topic of the installation from its beginning and keeps summaries of its own. In the order of a
rebuild: ``shadow`` begins and ends one, ``sides`` reads both, ``standings`` says of each user how the two stand to each other,
``comparison`` sums that up, ``promotion`` asks the installation to adopt the shadow's texts and to give the old ones back.
"""
