"""Steps of cells as data: programs, how they are traced, differentiated and computed. Only `tracing` imports torch."""
