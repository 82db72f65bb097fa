"""Arrays of pixels: checks, boxes, and reduction to the network's input size."""
