"""What users write and read: the resources of ``aibudget.io``, as models, as CRDs and as YAML."""
