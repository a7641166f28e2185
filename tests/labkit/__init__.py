"""The real mixed-architecture lab of the tests: machines of several processors with real SSH servers."""
