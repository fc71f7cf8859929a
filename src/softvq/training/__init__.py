"""An autoencoder and its training: a chunk of steps at a time, one seed or several at once, resumable anywhere."""
