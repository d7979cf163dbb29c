"""metadata.db and the files of the library, read only."""
