"""Cartridge: keys and values, trained to stand in the place of a pool's text."""
