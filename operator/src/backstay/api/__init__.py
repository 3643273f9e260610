"""The wire contract: pydantic models of the three kinds and the CRDs made from them."""
