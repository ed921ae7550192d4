"""Image files: decoding, profiles and fingerprints of single images."""
