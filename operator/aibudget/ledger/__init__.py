"""What was used and charged, durable: posted once per 15-minute slot, summed by scope and instants."""
