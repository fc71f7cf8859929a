"""Encoders and decoders; images are (B, H, W, C) floats, latent codes (B, M, d)."""
