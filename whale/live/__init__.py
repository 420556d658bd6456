"""Events as they are counted, for browsers: `hailwhale live`."""
