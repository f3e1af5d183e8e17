"""The kernels that train, and what they share: records, epochs, samples."""
