"""Measuring: metrics, separation on fixed mixtures, encoders, vocabulary, experiments, plots."""
