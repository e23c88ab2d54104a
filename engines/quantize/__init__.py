"""From an FP32 model to its low-precision variants: make, measure, judge."""
