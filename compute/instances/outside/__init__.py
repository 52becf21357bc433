"""Others as the compute service asks them, over their public APIs: `compute.instances.interfaces` by HTTP."""
