"""Looking into a code: one page for one run, or for several on the same images."""
