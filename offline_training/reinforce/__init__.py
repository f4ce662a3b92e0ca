"""Reinforcement of a trained separator (MARS-Sep): policy, reward, anchor, surrogate, loop."""
