"""Who is what: namespaces and their labels, objects and their owners, nodes and what they are made of."""
