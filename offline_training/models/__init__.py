"""The separators: streaming state, STFT, U-Net, mask separator, OmniSep's network."""
