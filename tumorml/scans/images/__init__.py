"""Single images: decoding, profiles and fingerprints."""
