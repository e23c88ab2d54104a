"""From admitted rows to answered rows: batcher, workers, servables."""
