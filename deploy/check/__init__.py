"""Whether what an operator deploys is what it has to be, without a container engine or a cluster: ``make deploy-check``."""
