"""xRAG: one vector of the dense encoder, bridged, in the place of each passage."""
