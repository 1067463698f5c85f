"""Whether shoppers still click what they are shown."""
