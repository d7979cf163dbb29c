"""metadata.db and the files below the library, read only."""
