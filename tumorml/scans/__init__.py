"""From a dropped file to a trusted scan: drops, decoding, validation, ingest."""
