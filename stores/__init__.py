"""Where threads, messages and turns are kept: one contract, on Azure Cosmos DB and on SQLite."""
