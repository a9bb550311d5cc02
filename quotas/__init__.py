"""How much an owner, a tenant and the process may use."""
