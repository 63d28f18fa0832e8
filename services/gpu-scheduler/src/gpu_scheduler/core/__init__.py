"""The decision: plain data in, actions out. No I/O, no clock, no logging, nothing asynchronous."""
