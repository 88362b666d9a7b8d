"""The shell: Faust agents and services that read, ask the core, and do what it decided; one file per agent, in flow order."""
