"""Check data for copies and other faults, and draw a training batch."""
