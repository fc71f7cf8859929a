"""How useful a latent code is: clustering and classification of frozen codes."""
