"""What training draws from: corpus, images, phrases and query tables, mixtures."""
