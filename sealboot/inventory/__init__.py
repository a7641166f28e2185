"""Text becomes frozen, validated hosts that know where every value was written."""
