"""Trained models in other people's code: loaded, as a scikit-learn transformer, or exported."""
