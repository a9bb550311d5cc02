"""The parts of the store on Azure Cosmos DB; `cosmos_store.py` puts them together."""
