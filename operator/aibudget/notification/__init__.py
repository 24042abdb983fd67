"""People and systems that a budget names are told of its transitions, each of them once."""
