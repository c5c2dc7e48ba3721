"""What layers and models are, without torch: their fields, sizes, tensors and computations; see `definition`."""
