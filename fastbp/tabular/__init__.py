"""Tables with text, holes and dates as the numbers that a network takes."""
